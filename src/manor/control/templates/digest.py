"""The identity of a golden database, and of all that goes into a target: SHA-256 over canonical JSON. Pure.

Independent of places, file names and comments in files; every kind of value is marked, so that ``1``, ``"1"`` and ``!sql
1`` differ.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from manor.control.templates.model import Dataset, Isolation, Schema, Sql
from manor.scan import Text, Variable

FORMAT = "manor-template-3"
"""Changes when the same template must give another digest, because something else is built from it."""


def golden_digest(
    schema: Schema,
    shared_rows: Iterable[Dataset],
    isolation: Iterable[Isolation],
    numbers_taken: Mapping[tuple[str, str], int],
) -> str:
    """Hex, 64 characters: schema, shared rows, which columns are isolated (not their values), where sequences stand."""
    parts = [schema.tables, schema.views, schema.triggers, [text for _, text in schema.sql], list(shared_rows)]
    isolated = [[column.table, column.column] for column in isolation]
    sequences = [[table, column, number] for (table, column), number in sorted(numbers_taken.items())]
    return _hash([FORMAT, canonical(parts), isolated, sequences])


def content_digest(golden: str, tenant_rows: Iterable[Dataset], isolation: Iterable[Isolation]) -> str:
    """Hex, 64 characters: the golden database and, beyond it, what every tenant gets."""
    return _hash([golden, canonical(list(tenant_rows)), canonical(list(isolation))])


def _hash(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def canonical(value: Any) -> Any:
    """``value`` as JSON that tells apart what the databases tell apart. Raises ``TypeError`` for a kind it does not know."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, Decimal):
        return {"number": str(value)}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, Sql):
        return {"sql": value.expression}
    if isinstance(value, Text):
        return {"text": [[part.name] if isinstance(part, Variable) else part for part in value.parts]}
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if isinstance(value, dict):
        return {"map": [[key, canonical(item)] for key, item in sorted(value.items())]}
    if dataclasses.is_dataclass(value):
        return {f.name: canonical(getattr(value, f.name)) for f in dataclasses.fields(value) if f.compare}
    raise TypeError(f"no canonical form for {type(value).__name__}")
