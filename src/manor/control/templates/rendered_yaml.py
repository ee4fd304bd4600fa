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


@dataclass(frozen=True, slots=True)
class Scattered:
    """A scalar that holds values."""

    parts: tuple[str | Slot, ...]
    plain: bool
    """Neither quoted nor tagged."""

    @property
    def alone(self) -> int | None:
        """The number of the value that is all of it, unquoted; None where there is more."""
        first = self.parts[0]
        return first.number if self.plain and len(self.parts) == 1 and isinstance(first, Slot) else None


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


def compile_document(value: Any) -> Fill:
    """What makes the document out of a list of values. The function raises ``InputError`` that names a path."""
    return _compile(value, ())


def _compile(value: Any, path: Path) -> Fill:
    if isinstance(value, dict):
        return _compile_mapping(value, path)
    if isinstance(value, list):
        items = [_compile(item, (*path, index)) for index, item in enumerate(value)]
        return lambda values: [item(values) for item in items]
    if isinstance(value, Scattered):
        return _compile_scalar(value, path)
    return lambda _values: value


def _compile_scalar(scalar: Scattered, path: Path) -> Fill:
    number = scalar.alone
    if number is not None:
        return lambda values: values[number]
    parts = scalar.parts
    slots = [(position, part.number) for position, part in enumerate(parts) if isinstance(part, Slot)]
    pattern: list[Any] = list(parts)

    def fill(values: Sequence[Value]) -> str:
        made = pattern.copy()
        for position, number in slots:
            made[position] = values[number]
        try:
            return "".join(made)
        except TypeError:  # not only texts
            return join_text(scalar, values, path)

    return fill


def _compile_mapping(mapping: dict[str, Any], path: Path) -> Fill:
    pairs = [(_compile_key(key, path), _compile(item, (*path, key))) for key, item in mapping.items()]
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


def _compile_key(key: str, path: Path) -> str | Callable[[Sequence[Value]], str]:
    parts = split(key)
    if all(isinstance(part, str) for part in parts):
        return key
    scalar = Scattered(tuple(parts), plain=False)
    return lambda values: join_text(scalar, values, path)


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
