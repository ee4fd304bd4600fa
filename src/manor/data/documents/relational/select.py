"""A page of a table or an index as SQL, the same for all relational databases. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from manor.data.documents.driver import Query
from manor.data.documents.relational.keys import KeyForm, range_bounds
from manor.data.documents.values import Item

ITEMS = "documents_items"
ENTRIES = "documents_entries"


@dataclass(frozen=True, slots=True, kw_only=True)
class Select:
    """How one database writes it: ``add`` takes a parameter and returns its placeholder; ``name`` is how tables and indexes are
    called in its columns."""

    keys: KeyForm
    add: Callable[[Any], str]
    name: Callable[[str], str] = str

    def text(self, tenant: str, query: Query, condition: str, limit: int | None) -> str:
        """``SELECT body, odd`` of the items of the page in their order; ``condition`` is SQL about ``i.body``, or ""."""
        owner, order = ("e", ["e.pk", "e.sk", "e.item_pk", "e.item_sk"]) if query.index else ("i", ["i.pk", "i.sk"])
        where = [f"{owner}.tenant = {self.add(tenant)}", f"{owner}.name = {self.add(self.name(query.table.name))}"]
        if query.index:
            where.append(f"e.index_name = {self.add(self.name(query.index.name))}")
        if query.keys:
            order = order[1:]
            where += self._in_partition(owner, query)
        if query.start is not None:
            where.append(self._behind(query, query.start, order))
        if condition:
            where.append(f"(i.odd OR ({condition}))")
        direction = "" if query.forward else " DESC"
        text = f"SELECT i.body, i.odd FROM {_source(query)} WHERE {' AND '.join(where)}"  # noqa: S608 - every value is a parameter
        text += f" ORDER BY {', '.join(column + direction for column in order)}"
        return text if limit is None else f"{text} LIMIT {self.add(limit)}"

    def _in_partition(self, owner: str, query: Query) -> list[str]:
        keys = query.keys
        if keys is None:
            return []
        where = [f"{owner}.pk = {self.add(self.keys.partition(keys.partition))}"]
        if keys.range:
            where += [f"{owner}.sk {op} {self.add(bound)}" for op, bound in range_bounds(keys.range)]
        return where

    def _behind(self, query: Query, start: Item, order: list[str]) -> str:
        place = self.keys.place(query.table.keys, start)
        if query.index:
            place = (*self.keys.place(query.index.keys, start), *place)  # type: ignore[assignment]
        bounds = ", ".join(map(self.add, place[-len(order) :]))
        return f"({', '.join(order)}) {'>' if query.forward else '<'} ({bounds})"


def _source(query: Query) -> str:
    if not query.index:
        return f"{ITEMS} i"
    same = " AND ".join(f"i.{item} = e.{entry}" for item, entry in _JOINED)
    return f"{ENTRIES} e JOIN {ITEMS} i ON {same}"


_JOINED = (("tenant", "tenant"), ("name", "name"), ("pk", "item_pk"), ("sk", "item_sk"))
