"""Change one ``tenant_count`` in a registry's text and nothing else: comments, order, quoting and line ends stay byte for byte.

Only the scalar's own characters are replaced (or one pair is inserted where the key is absent). The result is read again, and
an edit that would change any other value, through an anchor that is shared, is refused. Pure: text in, text out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import yaml

from manor.errors import InputError, Place, RefusedError
from manor.yaml_reader import parse_yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KEY = "tenant_count"


def set_tenant_count(text: str, group: str, count: int, *, file: str) -> str:
    """``text`` with ``database_groups.<group>.tenant_count`` being ``count``.

    Assumes that the group exists and is a tenant group. Raises ``RefusedError`` where no edit would change that one value only.
    """
    before = parse_yaml(text, file)
    expected = copy.deepcopy(before.value)
    expected["database_groups"] = dict(expected["database_groups"])
    expected["database_groups"][group] = {**expected["database_groups"][group], _KEY: count}
    place = before.place(("database_groups", group), key=True)
    others: list[str] = []
    for edited in _edits(text, group, count):
        after = _values(edited)
        if after == expected:
            return edited
        others = others or list(_differences(expected, after))
    raise _cannot(group, place, others)


def _cannot(group: str, place: Place, others: list[str]) -> RefusedError:
    if others:
        return RefusedError(
            f"changing the {_KEY} of {group} would also change {', '.join(others[:3])}",
            place=place,
            hint="they share it through an anchor: give each of them a tenant_count of its own",
        )
    return RefusedError(
        f"{group} is not written out where it stands, so its {_KEY} cannot be edited alone",
        place=place,
        hint="write the group out instead of naming an anchor, or edit the file by hand",
    )


def _values(text: str) -> Any:
    try:
        return parse_yaml(text, "").value
    except InputError:
        return None


def _differences(expected: Any, found: Any, path: str = "") -> Iterator[str]:
    """Paths of the values that differ, as dotted text."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in {**expected, **found}:
            below = f"{path}.{key}" if path else str(key)
            yield from _differences(expected.get(key), found.get(key), below)
    elif expected != found and path:
        yield path


def _edits(text: str, group: str, count: int) -> Iterator[str]:
    """Possible edits, the nicest first."""
    events: list[Any] = list(yaml.parse(text, Loader=_Loader))
    groups = _value_of(events, 2, "database_groups")
    start = _value_of(events, groups, group) if groups is not None else None
    if start is None or not isinstance(events[start], yaml.MappingStartEvent):
        return
    own = _value_of(events, start, _KEY)
    if own is not None:
        yield _replaced(text, events[own], count)
        return
    kind = _value_of(events, start, "type")
    if kind is not None and not events[start].flow_style:
        yield _inserted_after(text, events[start + 1], events[kind], count)
    yield _inserted_first(text, events[start], events[start + 1], count)


def _skip(events: list[Any], index: int) -> int:
    """The index behind the node that begins at ``index``."""
    depth = 0
    while True:
        event = events[index]
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        index += 1
        if depth == 0:
            return index


def _value_of(events: list[Any], index: int, key: str) -> int | None:
    """Where the value of ``key`` begins in the mapping that begins at ``index``."""
    if not isinstance(events[index], yaml.MappingStartEvent):
        return None
    index += 1
    while not isinstance(events[index], yaml.MappingEndEvent):
        value = _skip(events, index)
        if isinstance(events[index], yaml.ScalarEvent) and events[index].value == key:
            return value
        index = _skip(events, value)
    return None


def _replaced(text: str, event: Any, count: int) -> str:
    """An anchor or a tag before the number stays; an alias gives way to the number."""
    start, end = event.start_mark.index, event.end_mark.index
    if isinstance(event, yaml.ScalarEvent):
        start = max(start, end - len(event.value))
    return f"{text[:start]}{count}{text[end:]}"


def _inserted_after(text: str, first_key: Any, value: Any, count: int) -> str:
    """A line of its own behind the line on which ``value`` ends."""
    end_of_line = text.find("\n", value.end_mark.index)
    end = len(text) if end_of_line < 0 else end_of_line
    newline = "\r\n" if text[:end].endswith("\r") else "\n"
    end -= len(newline) - 1
    return f"{text[:end]}{newline}{' ' * first_key.start_mark.column}{_KEY}: {count}{text[end:]}"


def _inserted_first(text: str, mapping: Any, first_key: Any, count: int) -> str:
    """Before the first key: within the braces of a flow mapping, or on a line above it."""
    quote = getattr(first_key, "style", None) or ""
    pair = f"{quote}{_KEY}{quote}: {count}"
    position = first_key.start_mark.index
    between = ", " if mapping.flow_style else "\n" + " " * first_key.start_mark.column
    return f"{text[:position]}{pair}{between}{text[position:]}"
