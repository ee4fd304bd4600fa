"""YAML text to plain values, safely and with places.

Assumes that the text comes from somebody careless, not from a friend: a file has a size limit, nesting and alias expansion are
bounded, a key stands once, and only the tags that the caller allows are understood. Scalars follow the YAML 1.2 core schema
(``no`` and ``12:30`` are strings) with two exceptions in favour of exactness: digits with a leading zero stay a string, and a
number with a fraction becomes a ``Decimal`` that keeps the digits as written. ``<<`` merges as in YAML 1.1, a mapping's own
keys first.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from manor.collector import paused_collector
from manor.errors import InputError, Place

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 100
MAX_NODES = 1_000_000

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_LONG_LEADING_RUN = re.compile(rf"^[ \t\-?:]{{{MAX_DEPTH * 4 + 1}}}", re.MULTILINE)
_BRACKET = re.compile(r"[\[\]{}]")
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"
_PLAIN = "tag:yaml.org,2002:plain"
"""Ours, for text that was neither quoted nor tagged."""
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}

TagConstructor = Callable[[str, Place], Any]
ScalarConstructor = Callable[[str, bool], Any]
"""(text, whether it was neither quoted nor tagged) to the value."""


class _Loader(_SafeLoader):  # type: ignore[misc]
    """The safe loader without what every node pays for and nobody uses: searching for tags by path (answered by built-in
    functions, which are cheaper to call than ours), and YAML 1.1's meaning of plain text (``plain_scalar`` knows better)."""

    descend_resolver: Any = {}.get
    ascend_resolver: Any = ().__len__

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """The tag of a node that has none of its own."""
        if kind is yaml.ScalarNode:
            return _MERGE if value == "<<" and implicit[0] else _PLAIN if implicit[0] else _TEXT
        return super().resolve(kind, value, implicit)


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """The values of one file and where each of them stands."""

    file: str
    value: Any
    _root: Any = field(repr=False)

    def place(self, path: Sequence[str | int] = (), *, key: bool = False) -> Place:
        """The place of the value at ``path`` (keys and list indexes from the root), or of its nearest existing parent.

        With ``key`` the place of the mapping key itself.
        """
        node, mark = self._root, self._root.start_mark if self._root is not None else None
        for index, step in enumerate(path):
            last = index == len(path) - 1
            if isinstance(node, yaml.MappingNode):
                pair = _find_pair(node, str(step))
                if pair is None:
                    break
                node, mark = pair[1], pair[0].start_mark if key and last else pair[1].start_mark
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                mark = node.start_mark
            else:
                break
        return Place(self.file, mark.line + 1, mark.column + 1) if mark is not None else Place(self.file, 1, 1)


def _find_pair(node: Any, key: str) -> Any:
    """The (key, value) nodes of ``key`` in a mapping: its own, else the first of those merged into it."""
    own = next((p for p in node.value if isinstance(p[0], yaml.ScalarNode) and not _is_merge(p[0]) and p[0].value == key), None)
    if own is not None:
        return own
    merged = (source for name, value in node.value if _is_merge(name) for source in _merge_sources(value))
    found = (_find_pair(source, key) for source in merged if isinstance(source, yaml.MappingNode))
    return next((pair for pair in found if pair is not None), None)


def _is_merge(node: Any) -> bool:
    return bool(node.tag == _MERGE)


def _merge_sources(node: Any) -> list[Any]:
    return list(node.value) if isinstance(node, yaml.SequenceNode) else [node]


def read_yaml(path: Path, *, shown_as: str = "", tags: Mapping[str, TagConstructor] | None = None) -> YamlDocument:
    """Read one file.

    ``tags`` maps a local tag such as ``!sql`` to what makes a value of its scalar. Raises ``InputError`` with a place for
    anything that cannot be read: missing or too large file, a device or pipe, not UTF-8, bad syntax, duplicate key, too deep,
    too many nodes.
    """
    shown = shown_as or str(path)
    try:
        text = _read_file(path, shown).decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror}", place=Place(shown)) from error
    except UnicodeDecodeError as error:
        raise InputError(f"the file is not UTF-8 (byte {error.start})", place=Place(shown), hint="save it as UTF-8") from error
    return parse_yaml(text, shown, tags=tags)


def _read_file(path: Path, shown: str) -> bytes:
    """A file that ends: devices and pipes, which may never do, are refused, and opening one does not wait for its writer."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise InputError("this is not a regular file", place=Place(shown), hint="name a file that ends with its last line")
        content = file.read(MAX_FILE_BYTES + 1) if found.st_size <= MAX_FILE_BYTES else b""
    size = max(found.st_size, len(content))
    if size > MAX_FILE_BYTES:
        raise InputError(
            f"the file has {size:,} bytes, {MAX_FILE_BYTES:,} are allowed",
            place=Place(shown),
            hint="split it, or load bulk rows from CSV",
        )
    return content


def parse_yaml(
    text: str,
    file: str,
    *,
    tags: Mapping[str, TagConstructor] | None = None,
    scalars: ScalarConstructor | None = None,
) -> YamlDocument:
    """Like ``read_yaml`` for text at hand; ``file`` is what places say.

    ``scalars`` makes the values of scalars that have no tag of their own, instead of YAML's core schema.
    """
    try:
        if _may_be_deep(text):
            _measure_depth(text, file)
        with paused_collector():  # all nodes live on
            root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file)
        raise InputError(f"this is not YAML: {error.problem or error.context}", place=place) from error
    except yaml.YAMLError as error:
        first_line = str(error).splitlines()[0]
        raise InputError(f"this is not YAML: {first_line}", place=Place(file)) from error
    return YamlDocument(file, _Constructor(file, tags or {}, scalars).value(root, 0), root)


def _may_be_deep(text: str) -> bool:
    """A cheap upper bound of nesting: every level costs at least one bracket or one character of a line's leading run.

    Needed because the C composer recurses on the C stack and kills the process on some 100,000 nested brackets.
    """
    if _LONG_LEADING_RUN.search(text):
        return True
    depth = 0
    for bracket in _BRACKET.findall(text):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH * 4:
            return True
    return False


def _measure_depth(text: str, file: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        if depth > MAX_DEPTH:
            mark: Any = event.start_mark
            raise InputError(f"nested deeper than {MAX_DEPTH} levels", place=Place(file, mark.line + 1, mark.column + 1))


class _Constructor:
    def __init__(self, file: str, tags: Mapping[str, TagConstructor], scalars: ScalarConstructor | None) -> None:
        self.file = file
        self.tags = tags
        self.scalars = scalars
        self.nodes_left = MAX_NODES

    def place(self, node: Any) -> Place:
        return Place(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def value(self, node: Any, depth: int) -> Any:
        self.nodes_left -= 1
        if node is None:
            return None
        if depth > MAX_DEPTH:
            raise InputError(f"nested deeper than {MAX_DEPTH} levels", place=self.place(node))
        if self.nodes_left < 0:
            raise InputError(
                f"more than {MAX_NODES:,} values once aliases are expanded", place=self.place(node), hint="remove the aliases"
            )
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if not node.tag.startswith("tag:yaml.org,2002:"):
            raise InputError(f"unknown tag {node.tag!r}", place=self.place(node))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, depth + 1) for item in node.value]
        return self.mapping(node, depth)

    def mapping(self, node: Any, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise InputError("a key must be plain text", place=self.place(key_node))
            key = key_node.value
            if key_node.tag == _MERGE:
                merged.extend(self.merged(source, depth) for source in _merge_sources(value_node))
                continue
            if key in result:
                raise InputError(f"the key {key!r} stands twice", place=self.place(key_node))
            result[key] = self.value(value_node, depth + 1)
        for values in merged:
            for key, value in values.items():
                result.setdefault(key, value)
        return result

    def merged(self, node: Any, depth: int) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise InputError("only mappings can be merged with '<<'", place=self.place(node))
        values: dict[str, Any] = self.value(node, depth + 1)
        return values

    def scalar(self, node: Any) -> Any:
        tag, text = node.tag, node.value
        if not tag.startswith("tag:yaml.org,2002:"):
            make = self.tags.get(tag)
            if make is None:
                known = ", ".join(sorted(self.tags)) or "none"
                raise InputError(f"unknown tag {tag!r}", place=self.place(node), hint=f"tags that work here: {known}")
            return make(text, self.place(node))
        if tag == "tag:yaml.org,2002:binary":
            raise InputError("!!binary is not supported", place=self.place(node))
        quoted = bool(node.style or tag == _TEXT)
        if self.scalars is not None:
            return self.scalars(text, not quoted)
        return text if quoted else plain_scalar(text)


def plain_scalar(text: str) -> Any:
    """What an unquoted scalar means (YAML 1.2.2, section 10.3.2, with the two exceptions of this module)."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    first = text[0]
    if first.isdigit() or first in "+-.":
        if _INT.fullmatch(text):
            return int(text) if len(text) < 4000 else text
        if _DECIMAL.fullmatch(text):
            return Decimal(text) if not re.match(r"[-+]?0[0-9]", text) else text
        if _HEX.fullmatch(text):
            return int(text, 16)
    return text
