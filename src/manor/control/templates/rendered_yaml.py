"""The YAML that a template has rendered, parsed while its values are still marks, and filled afterwards. Pure.

Two tenants whose documents differ in values only have the same text, so a text is parsed once (``Skeletons``) and filled for
each tenant. A mark that is a whole unquoted scalar becomes the value as it is (a number stays a number); in quotes, or
inside a longer text, it becomes text.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from manor.control.templates.opaque import Slot, Value, as_text, split
from manor.errors import InputError
from manor.yaml_reader import YamlDocument, parse_yaml, plain_scalar

MAX_CACHED_CHARACTERS = 65_536
_CACHED_SKELETONS = 128

Fill = Callable[[Sequence[Value]], Any]
Path = tuple[str | int, ...]
Join = Callable[["Scattered", Sequence[Value], Path], str]
"""How a scalar of several parts becomes text; the path is where it stands in the document."""


@dataclass(frozen=True, slots=True)
class Scattered:
    """A scalar that holds values."""

    parts: tuple[str | Slot, ...]
    plain: bool
    """Neither quoted nor tagged."""


def join_text(scalar: Scattered, values: Sequence[Value], path: Path) -> str:
    """Author's text and values, one behind the other. Raises ``InputError`` that names ``path``."""
    try:
        return "".join(part if isinstance(part, str) else as_text(values[part.number]) for part in scalar.parts)
    except InputError as error:
        raise InputError(f"{dotted(path)}: {error.message}", hint=error.hint) from None


def dotted(path: Path) -> str:
    """``database_config.main``, as messages have it."""
    return ".".join(map(str, path))


def read_rendered(text: str, file: str) -> YamlDocument:
    """Parse ``text``; scalars with marks become ``Scattered``, keys keep their marks. Raises ``InputError`` with a place."""
    return parse_yaml(text, file, scalars=_scalar)


def _scalar(text: str, plain: bool) -> Any:
    parts = split(text)
    if all(isinstance(part, str) for part in parts):
        return plain_scalar(text) if plain else text
    return Scattered(tuple(parts), plain)


def compile_document(value: Any, join: Join = join_text) -> Fill:
    """What makes the document out of a list of values. The function raises ``InputError`` that names a path."""
    return _compile(value, (), join)


def _compile(value: Any, path: Path, join: Join) -> Fill:
    if isinstance(value, dict):
        return _compile_mapping(value, path, join)
    if isinstance(value, list):
        items = [_compile(item, (*path, index), join) for index, item in enumerate(value)]
        return lambda values: [item(values) for item in items]
    if isinstance(value, Scattered):
        return _compile_scalar(value, path, join)
    return lambda _values: value


def _compile_scalar(scalar: Scattered, path: Path, join: Join) -> Fill:
    first = scalar.parts[0]
    if scalar.plain and len(scalar.parts) == 1 and isinstance(first, Slot) and join is join_text:
        number = first.number
        return lambda values: values[number]
    return lambda values: join(scalar, values, path)


def _compile_mapping(mapping: dict[str, Any], path: Path, join: Join) -> Fill:
    pairs = [(_compile_key(key, path, join), _compile(item, (*path, key), join)) for key, item in mapping.items()]
    if all(isinstance(key, str) for key, _ in pairs):
        return lambda values: {key: item(values) for key, item in pairs}
    known = [(key if callable(key) else _always(key), item) for key, item in pairs]

    def fill(values: Sequence[Value]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, item in known:
            name = key(values)
            if name in made:
                raise InputError(f"{dotted((*path, name))}: the key stands twice")
            made[name] = item(values)
        return made

    return fill


def _compile_key(key: str, path: Path, join: Join) -> str | Callable[[Sequence[Value]], str]:
    parts = split(key)
    if all(isinstance(part, str) for part in parts):
        return key
    scalar = Scattered(tuple(parts), plain=False)
    return lambda values: join(scalar, values, path)


def _always(text: str) -> Callable[[Sequence[Value]], str]:
    return lambda _values: text


class Skeletons:
    """Parsed documents by their text; the least recently used one goes."""

    def __init__(self, limit: int = _CACHED_SKELETONS) -> None:
        self.limit = limit
        self._kept: OrderedDict[tuple[str, str], Fill] = OrderedDict()

    def fill(self, text: str, file: str, values: Sequence[Value]) -> Any:
        """The document that ``text`` means with ``values`` in it. Raises ``InputError``."""
        return self._compiled(text, file)(values)

    def _compiled(self, text: str, file: str) -> Fill:
        key = (file, text)
        found = self._kept.get(key)
        if found is None:
            found = compile_document(read_rendered(text, file).value)
            if self.limit and len(text) <= MAX_CACHED_CHARACTERS:
                self._keep(key, found)
        return found

    def _keep(self, key: tuple[str, str], fill: Fill) -> None:
        self._kept[key] = fill
        while len(self._kept) > self.limit:
            self._kept.popitem(last=False)
