"""A whole fleet on a server of the user's own: TLS only, and a login that may CREATEDB and CREATEROLE and no more."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

REGISTRY = ("--registry", "customer_a/tenant_registry.yaml")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def write_environ(plain_server: Any) -> Callable[..., None]:
    """Point a project's environment at the server: `write_environ(project, user)`; the password comes from the environment."""

    def write(project: Path, user: str, **settings: str) -> None:
        url = plain_server.url(user, "PASSWORD").replace("PASSWORD", "${PLATFORM_PASSWORD}")
        lines = [
            "description: a server of our own",
            "deployments:",
            f"  main: {url!r}",
            *(f"{k}: {v!r}" for k, v in settings.items()),
        ]
        (project / "customer_a" / "environ.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    return write


@pytest.fixture(scope="module")
def plain_project(
    tmp_path_factory: pytest.TempPathFactory, make_project: Callable[[Path], Path], write_environ: Callable[..., None]
) -> Path:
    """The small project, its environment on the plain server."""
    project = make_project(tmp_path_factory.mktemp("plain") / "a project")
    write_environ(project, "platform")
    return project


@pytest.fixture(scope="module")
def run(plain_project: Path, platform_password: str) -> Run:
    """The command as a user runs it, with the password in the environment."""

    def run(*arguments: str, password: str = platform_password, code: int = 0) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PLATFORM_PASSWORD": quote(password, safe="")}
        command = [sys.executable, "-m", "manor.cli.main", *arguments]
        done = subprocess.run(
            command, cwd=plain_project, capture_output=True, text=True, timeout=120, check=False, env=environment
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        for text in (done.stdout, done.stderr):
            assert password not in text
            assert quote(password, safe="") not in text
        return done

    return run


@pytest.fixture(scope="module")
def deployed(run: Run) -> dict[str, Any]:
    """The report of the first deploy."""
    document: dict[str, Any] = json.loads(run("--format", "json", "multi-tenant", "deploy", *REGISTRY).stdout)
    return document


def test_deploy_health_check_and_audit_need_no_superuser(deployed: dict[str, Any], run: Run, plain_server: Any) -> None:
    """Everything succeeds with the ordinary login, which owns all that was made; no role but the installer's is a superuser."""
    assert deployed["summary"] == {"success": 5}
    health = json.loads(run("--format", "json", "multi-tenant", "healthcheck", *REGISTRY).stdout)
    assert health["summary"] == {"success": 5}
    assert {o["facts"]["isolation_probe"] for o in health["outcomes"]} == {"refused"}
    assert json.loads(run("--format", "json", "audit", "verify").stdout)["ok"] is True
    again = json.loads(run("--format", "json", "multi-tenant", "deploy", *REGISTRY).stdout)
    assert again["summary"] == {"skipped": 5}
    assert plain_server.ask("SELECT rolname FROM pg_roles WHERE rolsuper") == [("postgres",)]
    owners = "SELECT DISTINCT r.rolname FROM pg_database d JOIN pg_roles r ON r.oid = datdba WHERE datname LIKE 'acme%'"
    assert plain_server.ask(owners) == [("platform",)]


def test_every_session_was_encrypted(deployed: dict[str, Any], run: Run, plain_server: Any) -> None:
    """The server's own log says so of the administrator, the catalog and every tenant; `tenant psql` is encrypted as well."""
    run("multi-tenant", "healthcheck", *REGISTRY)
    sessions = [line for line in plain_server.log() if "connection authorized" in line]
    users = {match[1] for line in sessions if (match := re.search(r"user=(\S+)", line))}
    assert {"platform", "acme_t_001", "acme_common"} <= users
    assert [line for line in sessions if "SSL enabled" not in line] == []
    query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert run("tenant", "psql", "acme_common", "--", "-Atc", query).stdout.strip() == "t"


def test_a_tenants_url_keeps_the_demand_for_encryption(deployed: dict[str, Any], run: Run, plain_server: Any) -> None:
    """The URL that applications get verifies the server as strictly as the administrator's does."""
    url = run("tenant", "url", "acme_common").stdout.strip()
    assert "sslmode=verify-full" in url
    assert f"sslrootcert={quote(str(plain_server.certificate), safe='')}" in url


def test_doctor_says_what_the_login_has_and_what_it_cannot_see(deployed: dict[str, Any], run: Run) -> None:
    """The rights suffice; two-phase commit is off and the disk out of sight, which are warnings and no failure."""
    found = {e["subject"]: e for e in json.loads(run("--format", "json", "doctor", *REGISTRY).stdout)}
    assert (found["privileges"]["verdict"], found["privileges"]["message"]) == ("ok", "platform: CREATEDB and CREATEROLE")
    assert found["two-phase commit"]["verdict"] == "warning"
    assert found["disk"]["verdict"] == "warning"
    assert found["leftovers"]["verdict"] == "ok"
    assert found["connections"]["verdict"] == "ok"


@pytest.mark.parametrize(
    ("has", "lacks"), [("CREATEDB", "CREATEROLE"), ("CREATEROLE", "CREATEDB"), ("", "CREATEDB and CREATEROLE")]
)
def test_a_login_that_lacks_a_right_is_told_which(
    make_project: Callable[[Path], Path],
    write_environ: Callable[..., None],
    plain_server: Any,
    tmp_path: Path,
    has: str,
    lacks: str,
) -> None:
    """Doctor and deploy name the missing right and the statement that gives it; nothing is made."""
    user = f"weak_{has.lower()}"
    plain_server.ask(f"CREATE ROLE {user} LOGIN {has} PASSWORD 'weak password'")
    before = plain_server.ask("SELECT datname FROM pg_database ORDER BY 1")
    project = make_project(tmp_path / "p")
    write_environ(project, user)
    environment = {**os.environ, "PLATFORM_PASSWORD": "weak%20password"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "manor.cli.main", *arguments]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120, check=False, env=environment)

    told = run("--format", "json", "doctor")
    assert told.returncode == 1, told.stdout + told.stderr
    privileges = next(e for e in json.loads(told.stdout) if e["subject"] == "privileges")
    assert privileges["verdict"] == "problem"
    assert lacks in privileges["message"]
    assert privileges["hint"] == f"ALTER ROLE {user} {lacks.replace(' and', '')}"
    refused = run("multi-tenant", "deploy", *REGISTRY)
    assert refused.returncode == 4, refused.stdout + refused.stderr
    assert f"{user} lacks {lacks}" in refused.stderr
    assert f"ALTER ROLE {user}" in refused.stderr
    assert plain_server.ask("SELECT datname FROM pg_database ORDER BY 1") == before
