"""A deploy on a real server: what it makes, what it proves, what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from subprocess import CompletedProcess

Manor = Callable[..., "CompletedProcess[str]"]
REGISTRY = ("--registry", "customer_a/tenant_registry.yaml")


def deploy(manor: Manor, *arguments: str) -> dict[str, object]:
    result = manor("--format", "json", "multi-tenant", "deploy", *REGISTRY, *arguments)
    assert result.returncode == 0, result.stderr + result.stdout
    document: dict[str, object] = json.loads(result.stdout)
    return document


def test_a_second_deploy_does_nothing_and_proves_every_database(manor: Manor) -> None:
    """Every target is made once, and the second run verifies each fingerprint."""
    assert deploy(manor)["summary"] == {"success": 5}
    second = deploy(manor)
    assert second["summary"] == {"skipped": 5}
    assert all("verified" in outcome["detail"] for outcome in second["outcomes"])  # type: ignore[attr-defined]
