"""What one schema file contributes, before the layers of project, environment, base and template are merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from manor.control.templates.model import ForeignKey, Table, Trigger, View
from manor.control.templates.schema_format import ColumnTypeFormat
from manor.errors import Place

Kind = TypeVar("Kind")
ObjectName = tuple[str, str]
"""(schema, name)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A foreign key as declared: its target's schema is still known, and whether the target exists is not."""

    key: ForeignKey
    target_schema: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared(Generic[Kind]):
    """A view or a trigger and where it stands."""

    value: Kind
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaLayer:
    """The objects of one ``schema.yaml`` or ``schema.sql``. Tables carry no foreign keys yet: those stand in ``relations``."""

    file: str
    tables: Mapping[ObjectName, Table] = field(default_factory=dict)
    relations: Mapping[ObjectName, tuple[Relation, ...]] = field(default_factory=dict)
    views: Mapping[ObjectName, Declared[View]] = field(default_factory=dict)
    triggers: Mapping[ObjectName, Declared[Trigger]] = field(default_factory=dict)
    schemas: frozenset[str] = frozenset()
    """Names of the schemas that the file mentions, those without objects included."""
    types: Mapping[str, ColumnTypeFormat] = field(default_factory=dict)
    """Registered column types that nearer layers may use: inherited ones and this file's own."""
    not_acted_on: Mapping[ObjectName, tuple[str, ...]] = field(default_factory=dict)
    """Keys per table that nothing acts on."""
    broken: bool = False
    """The file could not be used, so that what is missing may well stand in it."""
    sql: str | None = None
    """Text of a ``schema.sql``; its tables have the empty schema and ``relations`` with an empty target schema."""
