"""An environment with two deployments: what is up is not kept from us by what is down, and each is counted by itself."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

REGISTRY = ("--registry", "customer_a/tenant_registry.yaml")
Manor = Callable[..., "subprocess.CompletedProcess[str]"]


def add_deployment(project: Path, url: str) -> None:
    with (project / "customer_a" / "environ.yaml").open("a", encoding="utf-8") as file:
        file.write(f"  spare: {url!r}\n")


def document(done: subprocess.CompletedProcess[str], code: int = 0) -> Any:
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_server_that_is_down_hides_nothing_that_is_up(manor: Manor, project: Path, server_url: str) -> None:
    """What needs the catalog alone works; healthcheck has an outcome for every target, and those of the dead server say so."""
    document(manor("--format", "json", "multi-tenant", "deploy", *REGISTRY))
    add_deployment(project, "postgresql://manor:hunter2@127.0.0.1:1/postgres")
    for words in (("tenant", "list"), ("tenant", "url", "acme_t_001"), ("audit", "list"), ("audit", "verify")):
        assert manor(*words).returncode == 0
    with psycopg.connect(server_url, dbname="manor_catalog") as connection:
        connection.execute("UPDATE manor.databases SET server = 'spare' WHERE database = 'acme_t_002'")
    words = ("multi-tenant", "healthcheck", *REGISTRY, "--deployment", "main")
    report = document(manor("--format", "json", *words), 1)
    assert report["summary"] == {"success": 4, "error": 1}
    failed = next(o for o in report["outcomes"] if o["error"])
    assert (failed["database"], failed["error"]["code"]) == ("acme_t_002", "unreachable")
    assert "server spare" in failed["error"]["message"]


def test_the_forecast_charges_each_server_with_its_own_databases(manor: Manor, project: Path, server_url: str) -> None:
    """`doctor --deployment` says where groups without a server go; the other server needs nothing."""
    add_deployment(project, server_url)
    found = document(manor("--format", "json", "doctor", *REGISTRY, "--deployment", "spare"))
    disk = {e["server"]: e["message"] for e in found if e["subject"] == "disk"}
    assert "; 0 databases need" in disk["main"]
    assert "; 5 databases need" in disk["spare"]


@pytest.mark.parametrize("words", [("doctor", "--deployment", "main")], ids=" ".join)
def test_a_deployment_without_a_registry_is_a_question_without_a_subject(manor: Manor, words: tuple[str, ...]) -> None:
    """The option is the registry's: alone it is bad usage."""
    done = manor(*words)
    assert done.returncode == 2
    assert "--registry" in done.stderr
