"""A tenant database that somebody changed by hand: found, named, and told in words."""

from __future__ import annotations

from collections.abc import Callable
from subprocess import CompletedProcess

import psycopg
from psycopg.conninfo import make_conninfo

Manor = Callable[..., "CompletedProcess[str]"]
REGISTRY = ("--registry", "customer_a/tenant_registry.yaml")


def test_what_differs_in_a_changed_database_is_told_object_by_object(manor: Manor, server_url: str) -> None:
    """healthcheck fails for that tenant alone, and show --drift names each object that is extra, missing or other."""
    assert manor("multi-tenant", "deploy", *REGISTRY).returncode == 0
    with psycopg.connect(make_conninfo(server_url, dbname="acme_t_002"), autocommit=True) as connection:
        connection.execute("ALTER TABLE users ADD COLUMN note text")
        connection.execute("DROP INDEX idx_users_email")
        connection.execute("ALTER TABLE users ALTER COLUMN role SET DEFAULT 'admin'")
    health = manor("multi-tenant", "healthcheck", *REGISTRY)
    assert health.returncode == 1
    assert "1 error, 4 success" in health.stdout
    shown = manor("tenant", "show", "acme/tenants/002", "--drift")
    differences = [line for line in shown.stdout.splitlines() if line.startswith("✗")]
    assert differences == [
        "✗ column users.note: extra",
        "✗ column users.role: default is 'admin'::character varying, should be 'user'::character varying",
        "✗ index idx_users_email: missing",
    ]
