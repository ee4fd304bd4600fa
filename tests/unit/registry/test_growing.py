"""``add-tenants`` writes nothing that validate would refuse and that was right before."""

from __future__ import annotations

from pathlib import Path

import pytest

from manor.control.operations.add_tenants import add_tenants
from manor.errors import InvalidInput

REGISTRY = """\
registry_version: "2.0"
customer_info: {{customer_code: "acme", customer_name: "Acme", region: "japan", environment: "production"}}
database_groups:
  growing:
    type: tenant_group
    template: t
    tenant_count: {count}
    naming_pattern: "{pattern}"
  other:
    type: tenant_group
    template: t
    tenant_count: 2
    naming_pattern: "acme_{{tenant_id}}"
"""


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return tmp_path / "registry.yaml"


@pytest.mark.parametrize(
    ("pattern", "count", "message"),
    [
        ("acme_{tenant_id}", 0, "is taken by"),
        ("a" * 60 + "{tenant_id}", 0, "PostgreSQL allows 63"),
        ("acme_all", 1, "get the same database name"),
    ],
)
def test_new_names_that_cannot_be_are_refused_and_nothing_is_written(
    registry: Path, pattern: str, count: int, message: str
) -> None:
    """In a dry run too."""
    registry.write_text(REGISTRY.format(pattern=pattern, count=count), encoding="utf-8")
    before = registry.read_bytes()
    for dry_run in (True, False):
        with pytest.raises(InvalidInput, match=message):
            add_tenants(registry, "growing", 10_000 if "a" * 60 in pattern else 2, dry_run=dry_run, shown_as="r.yaml")
        assert registry.read_bytes() == before


def test_what_was_wrong_before_is_no_hindrance(registry: Path) -> None:
    """Else a registry could not grow while somebody works on it."""
    text = REGISTRY.format(pattern="b_{tenant_id}", count=1).replace('customer_name: "Acme", ', "")
    registry.write_text(text, encoding="utf-8")
    assert add_tenants(registry, "growing", 2, dry_run=False, shown_as="r.yaml").after == 3
    assert "tenant_count: 3" in registry.read_text(encoding="utf-8")
