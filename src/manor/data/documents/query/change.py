"""What an update means: a new item from an old one. Nothing that it is given is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from manor.data.documents import numbers
from manor.data.documents.faults import OperandMissing, PathMissing, UpdateRefused, ValueRefused
from manor.data.documents.query.evaluate import MISSING, Missing, Values, lookup
from manor.data.documents.query.nodes import Arithmetic, IfNotExists, ListAppend, Merge, Path, Ref, SetValue, Update
from manor.data.documents.values import SET_TYPES, Item, Value, copied, type_of

REMOVED = object()


def changed(update: Update, item: Item, values: Values) -> Item:
    """The item after the update. Right sides see ``item`` as it was.

    Raises ``UpdateRefused``: an attribute on a right side that is not there, a value of the wrong type, a path whose list or
    map is not there, a sum beyond 38 digits.
    """
    results = [(one.path, _checked(one.path, lambda one=one: _result(one.value, item, values))) for one in update.sets]  # type: ignore[misc]
    results += [(one.path, _checked(one.path, lambda one=one: _added(one, item, values))) for one in update.adds]  # type: ignore[misc]
    results += [(one.path, _deleted(one, item, values)) for one in update.deletes]
    fresh = copied(item)
    for path, result in _in_order(results):
        if result is not REMOVED:
            _assign(fresh, path, copied(result))
    for path in _from_behind([*update.removes, *(path for path, result in results if result is REMOVED)]):
        _remove(fresh, path)
    return fresh  # type: ignore[no-any-return]


def _checked(path: Path, compute: Callable[[], Value]) -> Value:
    try:
        return compute()
    except ValueRefused as error:
        raise UpdateRefused(f"{path}: {error.problem}") from error


def _in_order(results: list[tuple[Path, Value]]) -> list[tuple[Path, Value]]:
    """Positions of one list ascending, so that several beyond its end are appended in their order."""
    return sorted(results, key=lambda result: _order(result[0]))


def _from_behind(paths: Iterable[Path]) -> list[Path]:
    """Positions of one list descending, so that a removal does not move those that are still to come."""
    return sorted(paths, key=_order, reverse=True)


def _order(path: Path) -> list[tuple[int, int, str]]:
    return [(0, part, "") if isinstance(part, int) else (1, 0, part) for part in path.parts]


# Right sides


def _result(value: SetValue, item: Item, values: Values) -> Value:
    match value:
        case Ref(name):
            return values[name]
        case Path():
            return _there(value, item)
        case IfNotExists(path, default):
            found = lookup(item, path)
            return _result(default, item, values) if found is MISSING else found
        case ListAppend(first, second):
            return _list(first, item, values) + _list(second, item, values)
        case Arithmetic(op, left, right):
            compute = numbers.add if op == "+" else numbers.subtract
            return compute(_number(left, item, values), _number(right, item, values))


def _there(path: Path, item: Item) -> Value:
    found = lookup(item, path)
    if isinstance(found, Missing):
        raise OperandMissing(
            f"the update reads {path}, which the item does not have", hint=f"write if_not_exists({path}, :default)"
        )
    return found


def _list(value: SetValue, item: Item, values: Values) -> list[Any]:
    found = _result(value, item, values)
    if type(found) is not list:
        raise UpdateRefused(f"list_append() takes lists, not {type_of(found)}", hint="pass one element as a list of one")
    return found


def _number(value: SetValue, item: Item, values: Values) -> numbers.Number:
    found = _result(value, item, values)
    if type_of(found) != "N":
        raise UpdateRefused(f"+ and - take numbers, not {type_of(found)}")
    number: numbers.Number = found
    return number


# ADD and DELETE


def _added(merge: Merge, item: Item, values: Values) -> Value:
    value = values[merge.value.name]
    kind = type_of(value)
    found = lookup(item, merge.path)
    if isinstance(found, Missing):
        return value
    if type_of(found) != kind:
        raise UpdateRefused(f"ADD {merge.path}: the item has {type_of(found)}, the value is {kind}")
    return numbers.add(found, value) if kind == "N" else found | value


def _deleted(merge: Merge, item: Item, values: Values) -> Value:
    value = values[merge.value.name]
    found = lookup(item, merge.path)
    if isinstance(found, Missing):
        return REMOVED
    if type_of(found) != type_of(value) or type_of(found) not in SET_TYPES:
        raise UpdateRefused(f"DELETE {merge.path}: the item has {type_of(found)}, the value is {type_of(value)}")
    return (found - value) or REMOVED


# Places


def _parent(item: Item, path: Path) -> Value:
    """The list or map that holds the last part of the path. Raises ``UpdateRefused``."""
    parent = lookup(item, Path(path.parts[:-1])) if len(path.parts) > 1 else item
    wanted = list if isinstance(path.parts[-1], int) else dict
    if type(parent) is not wanted:
        shown = Path(path.parts[:-1])
        what = "a list" if wanted is list else "a map"
        raise PathMissing(f"{path} cannot be written: {shown} is not {what} of the item", hint=f"SET {shown} to {what} first")
    return parent


def _assign(item: Item, path: Path, value: Value) -> None:
    parent, last = _parent(item, path), path.parts[-1]
    if isinstance(last, int) and last >= len(parent):
        parent.append(value)
    else:
        parent[last] = value


def _remove(item: Item, path: Path) -> None:
    parent, last = _parent(item, path), path.parts[-1]
    if isinstance(last, int):
        if last < len(parent):
            del parent[last]
    else:
        parent.pop(last, None)


def is_idempotent(update: Update) -> bool:
    """Whether doing it twice, with nothing in between, leaves what doing it once leaves."""
    return (
        not any(type(part) is int for path in update.paths() for part in path.parts)
        and all(_is_fixed(one.value) for one in update.sets)
        and not update.adds
    )


def _is_fixed(value: SetValue) -> bool:
    return isinstance(value, Ref) or (isinstance(value, IfNotExists) and isinstance(value.default, Ref))
