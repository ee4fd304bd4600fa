"""The reference registry, deployed for real: 153 databases, each compared row by row with what its template says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

REFERENCE = Path(__file__).parents[2] / "data" / "reference_registry.yaml"
DATABASES = 153


def test_the_reference_registry_becomes_153_databases_that_hold_what_their_templates_say(
    tmp_path: Path, server_url: str, driver: Any, inspect_fleet: Callable[[Path, str], Any]
) -> None:
    """Every row of every data file is there once and no other, read through each tenant's own URL; each role opens its own
    database and no other door; a second deploy changes nothing and verifies all of them."""
    from manor.control.operations.scaffold import scaffold

    project = tmp_path / "project"
    scaffold("saas", project)
    environment = project / "customer_a"
    (environment / "environ.yaml").write_text(f"deployments:\n  main: {server_url!r}\n", encoding="utf-8")
    registry = environment / "tenant_registry.yaml"
    registry.write_text(REFERENCE.read_text(encoding="utf-8"), encoding="utf-8")

    first = driver.deploy_once(registry)
    assert first.summary == {"success": DATABASES}, json.dumps(first.to_json(), ensure_ascii=False)[:2_000]
    check = inspect_fleet(registry, server_url)
    assert check.problems() == []
    assert len({url.rpartition("/")[2] for url in check.recorded().urls.values()}) == DATABASES

    second = driver.deploy_once(registry)
    assert second.summary == {"skipped": DATABASES}
    assert all("verified" in outcome.detail for outcome in second.outcomes)
    assert check.problems() == []
