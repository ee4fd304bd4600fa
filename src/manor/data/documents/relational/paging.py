"""From rows to a page: what SQL could not judge is judged here. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from manor.data.documents.driver import Query, Slice, position_of
from manor.data.documents.query.evaluate import evaluate
from manor.data.documents.query.expression import Expression
from manor.data.documents.query.nodes import Compare, Path, Ref
from manor.data.documents.query.parse import FILTER
from manor.data.documents.query.project import project
from manor.data.documents.relational.codec import decode
from manor.data.documents.relational.compile import NO_FILTER, Filter
from manor.data.documents.tables import Table
from manor.data.documents.values import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """``filter`` is what SQL does. ``limit`` is how many rows to ask for (fewer are the last ones); None: they are read one by
    one, as many as it takes."""

    filter: Filter
    limit: int | None

    @property
    def counts(self) -> bool:
        """Whether every item of the range is seen here, so that they can be counted."""
        return not self.filter.sql


def plan(query: Query, compiled: Filter, *, at_once: int | None = None) -> Plan:
    """How to read a page. With ``examine`` every item must be counted, so SQL may not drop any.

    ``at_once``: read so many rows (more where the page wants more) if it is not known how many will match.
    """
    if query.examine is not None:
        return Plan(filter=NO_FILTER, limit=query.examine + 1)
    if query.filter is None or (compiled.exact and compiled.sql):
        return Plan(filter=compiled, limit=query.limit + 1)
    return Plan(filter=compiled, limit=at_once and max(at_once, query.limit + 1))


class Paging:
    """Takes rows (text, odd) one by one until the page is full."""

    def __init__(self, query: Query, chosen: Plan) -> None:
        self.query = query
        self.plan = chosen
        self.items: list[Item] = []
        self.scanned = 0
        self._last: Item | None = None
        self._judged = query.filter is not None and not (chosen.filter.exact and chosen.filter.sql)

    def page(self, rows: Iterable[tuple[str, bool]]) -> Slice:
        """The page. ``rows`` are as many as ``plan.limit`` allowed, and are not read further than needed."""
        taken = 0
        for text, odd in rows:
            if len(self.items) == self.query.limit or self.scanned == self.query.examine:
                return self._slice(ended=False)
            taken += 1
            self._take(decode(text), odd)
        return self._slice(ended=self.plan.limit is None or taken < self.plan.limit)

    def _take(self, item: Item, odd: bool) -> None:
        query = self.query
        self.scanned += 1
        self._last = item
        if (self._judged or odd) and not matches(query, item):
            return
        self.items.append(project(query.projection.node.paths, item) if query.projection else item)

    def _slice(self, *, ended: bool) -> Slice:
        last = None if ended else self._position()
        return Slice(items=self.items, last=last, scanned=self.scanned if self.plan.counts else None)

    def _position(self) -> Item | None:
        return position_of(self.query, self._last) if self._last is not None else self.query.start


def matches(query: Query, item: Item) -> bool:
    """Whether the filter holds."""
    return query.filter is None or evaluate(query.filter.node, item, query.values)


def expired(table: Table, now: int) -> Query:
    """The items that have expired by ``now``."""
    node = Compare("<=", Path((table.ttl_attribute or "",)), Ref(_NOW))
    return Query(table=table, filter=Expression(FILTER, "", node, refs=frozenset({_NOW})), values={_NOW: now})


_NOW = ":now"
