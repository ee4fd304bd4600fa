"""What a table is, as text that is kept beside its items, and what a process knows of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

from manor.data.documents.tables import Index, Key, Table
from manor.errors import ConflictError

MOST = 10_000
"""Tables to remember, of all tenants."""


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


def check_keys(table: Table, keys: str) -> None:
    """Raise ``ConflictError`` where what exists has other keys: items could not be told apart, or not be read."""
    if keys != keys_text(table):
        raise ConflictError(f"table {table.name} exists with other keys", hint=f"its keys are {keys}")


def missing_indexes(table: Table, keys: str, indexes: str) -> tuple[Index, ...]:
    """The table's indexes that what exists (its two texts) lacks.

    Raises ``ConflictError`` where table or index exists with other keys: another process may be using them.
    """
    check_keys(table, keys)
    there = json.loads(indexes)
    for index in table.indexes:
        if there.get(index.name, _keys(index.keys)) != _keys(index.keys):
            raise ConflictError(
                f"index {index.name} of table {table.name} exists with other keys",
                hint=f"its keys are {json.dumps(there[index.name], ensure_ascii=False)}; give the new one another name",
            )
    return tuple(index for index in table.indexes if index.name not in there)


def with_indexes(table: Table, indexes: str) -> str:
    """The text of indexes after the table's were added to it."""
    return indexes_text({**json.loads(indexes), **index_keys(table.indexes)})


class Compared:
    """Which tables of which tenants were found to have the keys that this process declares. A table is looked at once, when it
    is first used: one that others drop and make anew with other keys meanwhile is not noticed.

    ``keys`` is for the way that is taken most: where it has the table's very tuple, ``look`` need not be called. ``read``
    answers with the text of the keys that are kept, None where there is no such table.
    """

    def __init__(self, read: Callable[[str, Table], Awaitable[str | None]]) -> None:
        self.keys: dict[tuple[str, str], tuple[Key, ...]] = {}
        self._read = read

    async def look(self, tenant: str, table: Table) -> None:
        """Raises ``ConflictError``; says nothing of a table that is missing."""
        if self.keys.get((tenant, table.name)) != table.keys:
            kept = await self._read(tenant, table)
            if kept is None:
                return
            check_keys(table, kept)
        if len(self.keys) >= MOST:
            self.keys.clear()
        self.keys[tenant, table.name] = table.keys

    def forget(self, tenant: str, table: Table) -> None:
        """It is dropped."""
        self.keys.pop((tenant, table.name), None)
