"""What a table is, as text that is kept beside its items. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from manor.data.documents.tables import Index, Key, Table
from manor.errors import ConflictError


def keys_text(table: Table) -> str:
    """Names and types of the table's key."""
    return json.dumps(_keys(table.keys), ensure_ascii=False)


def indexes_text(indexes: Mapping[str, Sequence[Sequence[str]]]) -> str:
    """Names of indexes, each with the names and types of its key."""
    return json.dumps(indexes, ensure_ascii=False, sort_keys=True)


def index_keys(indexes: Sequence[Index]) -> dict[str, list[list[str]]]:
    """For ``indexes_text``."""
    return {index.name: _keys(index.keys) for index in indexes}


def _keys(keys: Sequence[Key]) -> list[list[str]]:
    return [[key.name, key.type] for key in keys]


def missing_indexes(table: Table, keys: str, indexes: str) -> tuple[Index, ...]:
    """The table's indexes that what exists (its two texts) lacks, or has with other keys.

    Raises ``ConflictError`` where it has another key.
    """
    if keys != keys_text(table):
        raise ConflictError(f"table {table.name} exists with other keys", hint=f"its keys are {keys}")
    there = json.loads(indexes)
    return tuple(index for index in table.indexes if there.get(index.name) != _keys(index.keys))


def with_indexes(table: Table, indexes: str) -> str:
    """The text of indexes after the table's were added to it."""
    return indexes_text({**json.loads(indexes), **index_keys(table.indexes)})
