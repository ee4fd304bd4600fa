"""Registries as text, and templates that exist without a disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from manor.control.registry.resolve import Resolution, resolve
from manor.control.registry.yaml_files import check_registry
from manor.control.templates.model import Column, Dataset, Isolation, Schema, Table, Template
from manor.errors import Finding, Place
from manor.scan import Text, scan
from manor.yaml_reader import parse_yaml

FILE = "tenant_registry.yaml"


def make_template(
    name: str,
    *,
    needs: Sequence[str] = (),
    rows: Sequence[str] = (),
    limit: int = 20,
    database_name: str = "",
    isolation: str = "",
) -> Template:
    """A template with one table ``users(name VARCHAR(limit), tenant_id VARCHAR(limit))``."""
    columns = (Column(name="name", type=f"VARCHAR({limit})"), Column(name="tenant_id", type=f"VARCHAR({limit})"))
    table = Table(schema="main", name="users", columns=columns)
    texts = tuple(scan(row) for row in rows)
    dataset = Dataset(table="users", columns=("name",), rows=tuple((text,) for text in texts))
    names = set(needs).union(*(text.names for text in texts), scan(isolation).names, scan(database_name).names)
    return Template(
        name=name,
        folder=name,
        group="main",
        instances=("main",),
        description=Text(()),
        deployment=True,
        schema=Schema(tables=(table,)),
        shared_rows=(),
        tenant_rows=(dataset,) if rows else (),
        numbers_taken={},
        isolation=(Isolation(table="users", column="tenant_id", value=scan(isolation)),) if isolation else (),
        database_names={"main": scan(database_name)} if database_name else {},
        config={},
        not_acted_on=(),
        names=frozenset(names),
        digest=f"digest of {name}",
        content_digest=f"content of {name}",
    )


@dataclass
class FakeTemplates:
    """Has the loader's shape; counts what it is asked."""

    templates: dict[str, Template] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    loads: list[tuple[str, Place | None]] = field(default_factory=list)

    def load(self, name: str, *, used_at: Place | None) -> Template | None:
        self.loads.append((name, used_at))
        return self.templates.get(name)


def fake_templates(*templates: Template | str) -> FakeTemplates:
    made = [make_template(template) if isinstance(template, str) else template for template in templates]
    return FakeTemplates({template.name: template for template in made})


Resolve = Callable[..., Resolution]


@pytest.fixture
def resolved() -> Resolve:
    def run(
        text: str,
        templates: FakeTemplates | None = None,
        deployments: Sequence[str] = ("embedded",),
        deployment: str | None = None,
        paths: dict[str, str] | None = None,
    ) -> Resolution:
        loaded = check_registry(parse_yaml(text, FILE))
        return resolve(loaded, templates, deployments, source=FILE, deployment=deployment, paths=paths)

    return run


def place_of(text: str, marker: str, nth: int = 1) -> Place:
    """The place of the ``nth`` occurrence of ``marker`` in ``text``."""
    index = -1
    for _ in range(nth):
        index = text.index(marker, index + 1)
    before = text[:index]
    return Place(FILE, before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1)


@pytest.fixture
def at() -> Callable[..., Place]:
    return place_of


@pytest.fixture
def template() -> Callable[..., Template]:
    return make_template


@pytest.fixture
def templates() -> Callable[..., FakeTemplates]:
    return fake_templates


@pytest.fixture
def data() -> Path:
    return Path(__file__).parents[2] / "data"
