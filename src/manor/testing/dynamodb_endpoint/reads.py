"""``Query`` and ``Scan``: what is asked, and pages of it.

Drivers answer what they know. Two things are read out of the whole table here: global indexes of more than two keys, which our
tables do not have, and the segments of a parallel scan.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from manor.data.documents.driver import Query, Slice, position_of
from manor.data.documents.limits import PAGE_BYTES
from manor.data.documents.query.evaluate import evaluate
from manor.data.documents.query.project import project
from manor.data.documents.tables import ALL
from manor.data.documents.tagged import item_to_tagged, text_of, to_tagged
from manor.data.documents.values import Item, item_size, type_of
from manor.testing.dynamodb_endpoint.capacity import consumed, read_units
from manor.testing.dynamodb_endpoint.definitions import GLOBAL, LOCAL, Definition, View
from manor.testing.dynamodb_endpoint.expressions import Expressions, read_expressions
from manor.testing.dynamodb_endpoint.faults import bad_parameter, invalid, refused
from manor.testing.dynamodb_endpoint.keys import NO_MATCH, KeyCondition, check_filter, checked_start, position_names, view_of
from manor.testing.dynamodb_endpoint.legacy import modern
from manor.testing.dynamodb_endpoint.selecting import check_segments, check_select
from manor.testing.dynamodb_endpoint.store import Definitions, WireStore
from manor.testing.dynamodb_endpoint.typed import item_of

Request = Mapping[str, Any]
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One page that is asked for. ``limit`` is the service's: items that are read, matching or not."""

    definition: Definition
    view: View
    expressions: Expressions
    condition: KeyCondition | None
    limit: int | None
    start: Item | None
    forward: bool
    consistent: bool
    segment: tuple[int, int] | None = None
    whole: bool = False

    @property
    def query(self) -> Query:
        """What a driver gets, without a limit."""
        return Query(
            table=self.definition.table,
            index=self.view.index,
            keys=self.condition.keys() if self.condition else None,
            filter=self.expressions.parsed.get("FilterExpression"),
            values=self.expressions.values,
            forward=self.forward,
            start=self.start,
            consistent=self.consistent,
        )


async def query(definitions: Definitions, request: Request) -> Answer:
    """Items of one partition."""
    check_select(request)
    request = modern(request)
    if not request.get("KeyConditionExpression"):
        raise invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
    return await _answer(definitions, request, "KeyConditionExpression", "FilterExpression", "ProjectionExpression")


async def scan(definitions: Definitions, request: Request) -> Answer:
    """Items of the whole table or index."""
    check_select(request)
    check_segments(request)
    return await _answer(definitions, modern(request), "FilterExpression", "ProjectionExpression")


async def _answer(definitions: Definitions, request: Request, *parameters: str) -> Answer:
    expressions = read_expressions(request, *parameters)
    start = item_of(request["ExclusiveStartKey"]) if request.get("ExclusiveStartKey") else None
    definition = await definitions.find(request["TableName"])
    reading = _reading(definition, request, expressions, start)
    found = await page(definitions.store, reading)
    shown = [_shown(item, reading) for item in found.items]
    answer: Answer = {"Count": len(shown), "ScannedCount": len(shown) if found.scanned is None else found.scanned}
    if request.get("Select") != "COUNT":
        answer["Items"] = [item_to_tagged(item) for item in shown]
    if found.last is not None:
        answer["LastEvaluatedKey"] = item_to_tagged(found.last)
    units = read_units(found.items, consistent=reading.consistent)
    return {**answer, **consumed(request, definition.name, units, request.get("IndexName"))}


def _reading(definition: Definition, request: Request, expressions: Expressions, start: Item | None) -> Reading:
    view = view_of(definition, request)
    keyed = expressions.parsed.get("KeyConditionExpression")
    condition = KeyCondition(keyed, view, expressions.values) if keyed else None
    if start is not None:
        checked_start(definition, view, start, "The provided starting key is invalid" + ("" if keyed else f": {NO_MATCH}"))
    if condition:
        _check_query(view, expressions, condition, start)
    _check_view(view, request)
    return Reading(
        definition=definition,
        view=view,
        expressions=expressions,
        condition=condition,
        limit=_limit(request),
        start=start,
        forward=request.get("ScanIndexForward") is not False,
        consistent=bool(request.get("ConsistentRead")),
        segment=(request["Segment"], request["TotalSegments"]) if request.get("TotalSegments") else None,
        whole=request.get("Select") == "ALL_ATTRIBUTES",
    )


def _check_query(view: View, expressions: Expressions, condition: KeyCondition, start: Item | None) -> None:
    if filtered := expressions.parsed.get("FilterExpression"):
        check_filter(view, filtered)
    if start is not None:
        condition.check_start(start)


def _check_view(view: View, request: Request) -> None:
    if view.kind != GLOBAL:
        return
    if request.get("ConsistentRead"):
        raise refused("Consistent reads are not supported on global secondary indexes")
    if request.get("Select") == "ALL_ATTRIBUTES" and view.projection != ALL:
        raise bad_parameter(
            f"Select type ALL_ATTRIBUTES is not supported for global secondary index {view.name} because its projection "
            "type is not ALL"
        )


def _limit(request: Request) -> int | None:
    limit: int | None = request.get("Limit")
    if limit is not None and limit < 1:
        raise invalid(
            f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1"
        )
    return limit


def _shown(item: Item, reading: Reading) -> Item:
    """Only what the index shows (a local one fetches the rest where it is asked for), then only what is wanted."""
    view = reading.view
    wanted = reading.expressions.parsed.get("ProjectionExpression")
    if view.projection != ALL and not (view.kind == LOCAL and (wanted or reading.whole)):
        more = () if isinstance(view.projection, str) else view.projection
        allowed = {*position_names(reading.definition, view), *more}
        item = {name: value for name, value in item.items() if name in allowed}
    return project(wanted.node.paths, item) if wanted else item


# Pages


async def page(store: WireStore, reading: Reading) -> Slice:
    """One page, of unprojected items."""
    if reading.view.is_composite or reading.segment:
        return await _page_of_everything(store, reading)
    if reading.limit is None:
        return await _long_page(store, reading.query)
    found = await store.page(replace(reading.query, limit=reading.limit, examine=reading.limit))
    if found.last is None and found.scanned is not None and found.scanned >= reading.limit:
        return replace(found, last=await _last_examined(store, reading.query, reading.limit))
    return found


async def _last_examined(store: WireStore, query: Query, limit: int) -> Item | None:
    """Where a page ended that took exactly the rest: the service names it, our drivers say that this is the end."""
    values = {name: query.values[name] for name in (query.keys.expression.refs if query.keys else ())}
    found = await store.page(replace(query, filter=None, values=values, limit=limit, examine=limit))
    return position_of(query, found.items[-1]) if found.items else None


async def _long_page(store: WireStore, query: Query) -> Slice:
    """Up to a MiB. Where it is cut short, only a page without a filter knows how many items were read for it."""
    items: list[Item] = []
    size, scanned = 0, 0
    while True:
        found = await store.page(query, fill=False)
        scanned += len(found.items) if found.scanned is None else found.scanned
        for item in found.items:
            size += item_size(item)
            if size > PAGE_BYTES and items:
                read = None if query.filter else len(items)
                return Slice(items=items, last=position_of(query, items[-1]), scanned=read)
            items.append(item)
        if found.last is None:
            return Slice(items=items, scanned=scanned)
        query = replace(query, start=found.last)


async def _page_of_everything(store: WireStore, reading: Reading) -> Slice:
    """Read the whole table, and do here what drivers do otherwise."""
    everything = Query(table=reading.definition.table, consistent=reading.consistent)
    index = reading.view.index if reading.segment else None
    candidates = [item async for item in store.everything(replace(everything, index=index)) if _is_in(item, reading)]
    names = position_names(reading.definition, reading.view)
    order = [*reading.view.key_names, *reading.definition.view.key_names]
    candidates.sort(key=lambda item: _place(item, order), reverse=not reading.forward)
    if reading.start is not None:
        place = _place(reading.start, order)
        candidates = [
            item for item in candidates if (_place(item, order) > place) is reading.forward and _place(item, order) != place
        ]
    examined = candidates[: reading.limit]
    matching = reading.expressions.parsed.get("FilterExpression")
    values = reading.expressions.values
    found = [item for item in examined if matching is None or evaluate(matching.node, item, values)]
    last = {name: examined[-1][name] for name in names} if examined and len(examined) == reading.limit else None
    return Slice(items=found, last=last, scanned=len(examined))


def _is_in(item: Item, reading: Reading) -> bool:
    if any(key.name not in item or type_of(item[key.name]) != key.type for key in reading.view.keys):
        return False
    if reading.segment and _segment(item, reading) != reading.segment[0]:
        return False
    condition = reading.condition
    return condition is None or evaluate(condition.expression.node, item, reading.expressions.values)


def _segment(item: Item, reading: Reading) -> int:
    """Items of one partition are in one segment."""
    _, total = reading.segment or (0, 1)
    text = text_of(to_tagged(item[reading.view.key_names[0]]))
    return zlib.crc32(text.encode()) % total


def _place(item: Item, order: list[str]) -> tuple[Any, ...]:
    return tuple(item[name] for name in order)
