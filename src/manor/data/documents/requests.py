"""From a caller's parameters to what a driver gets: parsed, checked, copied. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from manor.data.documents import limits
from manor.data.documents.cursors import NOW
from manor.data.documents.driver import Delete, Keys, Put, Query, Returns, Update
from manor.data.documents.faults import ExpressionError
from manor.data.documents.query.check import admit_values, check
from manor.data.documents.query.expression import ConditionExpression, Expression, ProjectionExpression, UpdateExpression
from manor.data.documents.query.keys import key_plan
from manor.data.documents.query.nodes import And, Compare, Condition, Not, Path, Ref
from manor.data.documents.query.parse import FILTER, KEY_CONDITION, parse_condition, parse_projection, parse_update
from manor.data.documents.tables import Index, Table, check_item_keys, check_key
from manor.data.documents.values import Value, admit_item, type_of
from manor.errors import InputError

Names = Mapping[str, str] | None
Given = Mapping[str, Any] | None
E = TypeVar("E", bound=Expression[Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The parameters that queries and scans share, as the caller gave them."""

    filter_expression: str | None = None
    expression_values: Given = None
    expression_names: Names = None
    projection_expression: str | None = None
    limit: int | None = None
    examine: int | None = None
    consistent_read: bool = False


# Writes


def put_request(table: Table, item: Any, condition: str | None, values: Given, names: Names, returns: str) -> Put:
    """A put. Raises ``InputError`` of some kind for anything that cannot be."""
    admitted, _ = admit_item(item)
    check_item_keys(table, admitted)
    parsed = _condition(condition, names)
    return Put(
        table=table,
        key=table.key_of(admitted),
        item=admitted,
        condition=parsed,
        values=_values((parsed,), values, names),
        returns=_returns(returns, old_only=True),
    )


def delete_request(table: Table, key: Any, condition: str | None, values: Given, names: Names, returns: str) -> Delete:
    """A delete. Raises ``InputError`` of some kind."""
    parsed = _condition(condition, names)
    return Delete(
        table=table,
        key=check_key(table, key),
        condition=parsed,
        values=_values((parsed,), values, names),
        returns=_returns(returns, old_only=True),
    )


def update_request(
    table: Table, key: Any, update: str | None, condition: str | None, values: Given, names: Names, returns: str
) -> Update:
    """An update. Raises ``InputError`` of some kind."""
    parsed = parse_update(update, names) if update is not None else None
    parsed_condition = _condition(condition, names)
    if parsed is not None:
        _check_no_key(table, parsed)
    return Update(
        table=table,
        key=check_key(table, key),
        update=parsed,
        condition=parsed_condition,
        values=_values((parsed, parsed_condition), values, names),
        returns=_returns(returns),
    )


def _condition(text: str | None, names: Names) -> ConditionExpression | None:
    return parse_condition(text, names) if text is not None else None


def _values(expressions: tuple[Expression[Any] | None, ...], values: Given, names: Names) -> dict[str, Value]:
    admitted = admit_values(values)
    check([one for one in expressions if one is not None], admitted, names)
    return admitted


def _returns(word: str, *, old_only: bool = False) -> Returns:
    allowed = [Returns.NONE, Returns.ALL_OLD] if old_only else list(Returns)
    if word not in allowed:
        raise InputError(f"return_values is {word!r}", hint=f"one of {', '.join(allowed)}")
    return Returns(word)


def _check_no_key(table: Table, update: UpdateExpression) -> None:
    for path in update.node.paths():
        if path.name in table.key_names:
            raise ExpressionError(
                f"{update.kind}: {path.name} is part of the key of {table.name} and cannot change",
                expression=update.text,
                position=update.position_of(path),
                hint="put a new item and delete the old one, in one transaction",
            )


# Reads


def projection_request(text: str | None, names: Names) -> ProjectionExpression | None:
    """The projection of a read by key."""
    if text is None:
        if names:
            raise ExpressionError("expression_names: no expression uses them", hint="remove them")
        return None
    parsed = parse_projection(text, names)
    check([parsed], {}, names)
    return parsed


def query_request(
    table: Table, asked: Asked, *, key_condition: str | None, index_name: str | None, forward: bool, now: int
) -> Query:
    """A query, or a scan where ``key_condition`` is None. Raises ``InputError`` of some kind."""
    index = table.index(index_name) if index_name is not None else None
    names = asked.expression_names
    condition = parse_condition(key_condition, names, kind=KEY_CONDITION) if key_condition is not None else None
    filtered = parse_condition(asked.filter_expression, names, kind=FILTER) if asked.filter_expression is not None else None
    projection = parse_projection(asked.projection_expression, names) if asked.projection_expression is not None else None
    values = _values((condition, filtered, projection), asked.expression_values, names)
    keys = _keys(table, index, condition, values) if condition is not None else None
    _check_index(table, index, asked, filtered, projection)
    if keys and filtered:
        _check_filter(index or table, filtered)
    if table.ttl_attribute:
        filtered, values[NOW] = _living(table.ttl_attribute, filtered), now
    return Query(
        table=table,
        index=index,
        keys=keys,
        filter=filtered,
        values=values,
        projection=projection,
        limit=_count("limit", asked.limit) or limits.PAGE_ITEMS,
        examine=_count("examine", asked.examine),
        forward=forward,
        consistent=asked.consistent_read,
    )


def _count(name: str, number: int | None) -> int | None:
    if number is not None and (type(number) is not int or number < 1):
        raise InputError(f"{name} is {number!r}", hint="a whole number from 1, or None")
    return number if number is None else min(number, limits.MOST_ITEMS)


def _keys(table: Table, index: Index | None, condition: ConditionExpression, values: dict[str, Value]) -> Keys:
    source = index or table
    where = f"index {index.name} of table {table.name}" if index else f"table {table.name}"
    sort = source.keys[1] if len(source.keys) > 1 else None
    plan = key_plan(condition, source.keys[0].name, sort.name if sort else None, where=where)
    _check_key_type(condition, plan.partition, source.keys[0].type, values)
    for ref in (plan.low, plan.high):
        if ref and sort:
            _check_key_type(condition, ref, sort.type, values)
    partition, found = plan.bind(values)
    return Keys(expression=condition, plan=plan, partition=partition, range=found)


def _check_key_type(condition: ConditionExpression, ref: str, wanted: str, values: dict[str, Value]) -> None:
    kind = type_of(values[ref])
    if kind != wanted or values[ref] in ("", b""):
        problem = "is empty" if kind == wanted else f"is {kind}, the key is {wanted}"
        raise ExpressionError(
            f"{condition.kind}: {ref} {problem}", expression=condition.text, position=condition.text.find(ref) + 1
        )


def _check_filter(source: Table | Index, filtered: ConditionExpression) -> None:
    keys = {key.name for key in source.keys}
    for path in filtered.paths:
        if path.name in keys:
            raise ExpressionError(
                f"{filtered.kind}: {path.name} is a key here and cannot be filtered by",
                expression=filtered.text,
                position=filtered.position_of(path),
                hint="say it in key_condition",
            )


def _check_index(table: Table, index: Index | None, asked: Asked, *expressions: Expression[Any] | None) -> None:
    if index is None:
        return
    if asked.consistent_read and not index.local:
        raise InputError(
            f"index {index.name} of table {table.name} cannot be read consistently", hint="leave out consistent_read"
        )
    visible = table.visible(index)
    for expression in expressions:
        for path in expression.paths if expression and visible is not None else ():
            if path.name not in (visible or ()):
                raise ExpressionError(
                    f"{expression.kind}: {path.name} is not in the projection of index {index.name}",  # type: ignore[union-attr]
                    expression=expression.text,  # type: ignore[union-attr]
                    position=expression.position_of(path),  # type: ignore[union-attr]
                    hint="widen the projection of the index, or read the items by their keys",
                )


# Expiry


def _living(attribute: str, filtered: ConditionExpression | None) -> ConditionExpression:
    """The filter, and that the item has not expired."""
    if filtered is None:
        filtered = _ALL_LIVING
    return filtered.compiled_for(("living", attribute), lambda: _with_expiry(attribute, filtered))


def _with_expiry(attribute: str, filtered: ConditionExpression) -> ConditionExpression:
    alive: Condition = Not(Compare("<=", Path((attribute,)), Ref(NOW)))
    if filtered is not _ALL_LIVING:
        alive = And((*filtered.node.parts, alive)) if isinstance(filtered.node, And) else And((filtered.node, alive))
    return Expression(
        FILTER,
        filtered.text,
        alive,
        refs=filtered.refs | {NOW},
        names=filtered.names,
        bare=filtered.bare,
        paths=filtered.paths,
        positions=filtered.positions,
    )


_ALL_LIVING: ConditionExpression = Expression(FILTER, "", Not(Compare("<=", Path(("",)), Ref(NOW))))
