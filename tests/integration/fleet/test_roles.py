"""Tenants' roles that somebody changed: deploy and healthcheck name each and what is wrong; rotate-password makes it whole."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from urllib.parse import quote, unquote

import psycopg
from psycopg import sql

Manor = Callable[..., "CompletedProcess[str]"]
REGISTRY = ("--registry", "customer_a/tenant_registry.yaml")
CHANGES = (
    "GRANT acme_t_002 TO acme_t_001",
    "ALTER ROLE acme_t_002 CREATEDB",
    "REVOKE CONNECT ON DATABASE acme_t_003 FROM acme_t_003",
    "ALTER DATABASE acme_t_004 OWNER TO CURRENT_USER",
    "REVOKE ALL ON DATABASE acme_t_004 FROM acme_t_004",
    "DROP ROLE acme_t_004",
    "ALTER DATABASE acme_common OWNER TO acme_common",
)
FAULTS = {
    "acme_t_001": "its role is a member of acme_t_002",
    "acme_t_002": "its role is CREATEDB",
    "acme_t_003": "its role may not log in, or not enter it",
    "acme_t_004": "its role acme_t_004 is gone",
    "acme_common": "its role owns acme_common",
}


def change(server_url: str, *statements: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def messages(result: CompletedProcess[str]) -> dict[str, str]:
    """Database → error, of those that failed."""
    outcomes = json.loads(result.stdout)["outcomes"]
    return {o["database"]: o["error"]["message"] for o in outcomes if o["error"]}


def test_a_role_that_may_more_or_less_than_it_should_is_an_error_of_its_tenant(manor: Manor, server_url: str) -> None:
    """Seen without entering any database: a probe of one neighbour would miss most of it."""
    assert manor("multi-tenant", "deploy", *REGISTRY).returncode == 0
    change(server_url, *CHANGES)
    for verb in ("deploy", "healthcheck"):
        result = manor("--format", "json", "multi-tenant", verb, *REGISTRY)
        assert result.returncode == 1, result.stderr
        found = messages(result)
        assert found.keys() == FAULTS.keys()
        assert all(text in found[database] for database, text in FAULTS.items()), found


def test_rotating_the_password_makes_a_role_whole(manor: Manor, server_url: str) -> None:
    """One that is gone comes back with its rights; what was granted beyond them is for the administrator to take away."""
    assert manor("multi-tenant", "deploy", *REGISTRY).returncode == 0
    change(server_url, *CHANGES)
    for tenant in ("003", "004"):
        assert manor("tenant", "rotate-password", f"acme/tenants/{tenant}").returncode == 0
        assert manor("tenant", "psql", f"acme/tenants/{tenant}", "-c", "SELECT count(*) FROM users").returncode == 0
    change(
        server_url,
        "REVOKE acme_t_002 FROM acme_t_001",
        "ALTER ROLE acme_t_002 NOCREATEDB",
        "ALTER DATABASE acme_common OWNER TO CURRENT_USER",
    )
    # PostgreSQL hands an owner's rights on to the next one: the role has lost its own.
    assert manor("tenant", "rotate-password", "acme_common").returncode == 0
    assert manor("multi-tenant", "healthcheck", *REGISTRY).returncode == 0


def test_what_the_group_of_all_tenants_was_given_counts_for_each_of_them(manor: Manor, server_url: str) -> None:
    """By any number of steps."""
    assert manor("multi-tenant", "deploy", *REGISTRY).returncode == 0
    change(server_url, "GRANT pg_read_all_data TO manor_tenant")
    found = messages(manor("--format", "json", "multi-tenant", "healthcheck", *REGISTRY))
    assert len(found) == 5
    assert all("a member of pg_read_all_data" in text for text in found.values())


def test_an_isolated_column_takes_no_null(manor: Manor) -> None:
    """It would be nobody's row."""
    assert manor("multi-tenant", "deploy", *REGISTRY).returncode == 0
    url = manor("tenant", "url", "acme/tenants/001").stdout.strip()
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT c.relname, a.attname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1] WHERE k.conname LIKE 'manor\\_tenant\\_%'"
        ).fetchall()
        assert rows
        for table, column in rows:
            names = sql.Identifier(table), sql.Identifier(column)
            try:
                connection.execute(sql.SQL("UPDATE {} SET {} = NULL").format(*names))
            except (psycopg.errors.CheckViolation, psycopg.errors.NotNullViolation):
                continue
            empty = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(names[0])).fetchone()
            assert empty == (0,), table


def test_a_tenants_url_follows_its_server(manor: Manor, registry: Path, server_url: str) -> None:
    """The server's address changed: at once for who asks Manor, and with the next deploy for who reads the catalog."""
    assert manor("multi-tenant", "deploy", *REGISTRY).returncode == 0
    environment = registry.parent / "environ.yaml"
    folder = unquote(server_url.partition("host=")[2])
    with tempfile.TemporaryDirectory(prefix="manor-", dir="/tmp") as short:
        moved = Path(short) / "moved"
        moved.symlink_to(folder)
        text = environment.read_text(encoding="utf-8")
        environment.write_text(text.replace(quote(folder, safe=""), quote(str(moved), safe="")), encoding="utf-8")
        assert quote(str(moved), safe="") in manor("tenant", "url", "acme/tenants/001").stdout
        assert manor("tenant", "psql", "acme/tenants/001", "-c", "SELECT 1").returncode == 0
        assert "server.move" not in manor("audit", "list").stdout
        assert manor("multi-tenant", "deploy", *REGISTRY).returncode == 0
        assert "server.move" in manor("audit", "list").stdout
        assert manor("multi-tenant", "healthcheck", *REGISTRY).returncode == 0
