"""One-scan substitution: text is cut into literals and variable references once, and values are never scanned again.

Syntax is fixed per kind of file. ``BRACES`` is ``{NAME}`` with ``{{`` and ``}}`` as escapes (registry, mapping, ``.dat``);
``DOLLAR`` is ``${NAME}`` with ``$$`` as escape (project and environ files). ``MACRO`` is ``${NAME}`` in capitals with
``$${NAME}`` as escape (schemas); every other dollar sign is text there, because SQL has its own use for them.
"""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from manor.errors import InputError, Place


class Syntax(enum.Enum):
    """How a variable is written in a kind of file."""

    BRACES = "{NAME}"
    DOLLAR = "${NAME}"
    MACRO = "${MACRO}"


_TOKENS = {
    Syntax.BRACES: re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]"),
    Syntax.DOLLAR: re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{"),
    Syntax.MACRO: re.compile(r"\$(?=\$\{[A-Z_][A-Z0-9_]*\})|(?<!\$)\$\{([A-Z_][A-Z0-9_]*)\}"),
}
_ESCAPES = {"{{": "{", "}}": "}", "$$": "$", "$": ""}


@dataclass(frozen=True, slots=True)
class Variable:
    """A reference to a variable inside a ``Text``."""

    name: str


@dataclass(frozen=True, slots=True)
class Text:
    """Scanned text: literals and references in order."""

    parts: tuple[str | Variable, ...]

    @property
    def names(self) -> frozenset[str]:
        """The variables it refers to."""
        return frozenset(p.name for p in self.parts if isinstance(p, Variable))

    @property
    def constant(self) -> str | None:
        """The text itself where it refers to nothing, else None."""
        return "".join(p for p in self.parts if isinstance(p, str)) if not self.names else None

    def fill(self, values: Mapping[str, str]) -> str:
        """Insert values as data. Raises ``KeyError`` for a missing one: check ``names`` first."""
        if len(self.parts) == 1 and isinstance(self.parts[0], str):  # most texts of most registries
            return self.parts[0]
        return "".join(p if isinstance(p, str) else values[p.name] for p in self.parts)


def scan(text: str, syntax: Syntax = Syntax.BRACES, *, place: Place | None = None) -> Text:
    """Cut ``text`` once. Raises ``InputError`` for a brace that is neither a reference nor an escape."""
    parts: list[str | Variable] = []
    literal: list[str] = []
    position = 0
    for match in _TOKENS[syntax].finditer(text):
        literal.append(text[position : match.start()])
        position = match.end()
        token, name = match.group(0), match.group(1)
        if token in _ESCAPES:
            literal.append(_ESCAPES[token])
        elif name is not None:
            _flush(literal, parts)
            parts.append(Variable(name))
        else:
            raise InputError(
                f"{token!r} at position {match.start()} of {_shorten(text)!r} is neither a variable nor escaped",
                place=place,
                hint="write {{ and }} for braces that are text" if syntax is Syntax.BRACES else "write $$ for a dollar sign",
            )
    literal.append(text[position:])
    _flush(literal, parts)
    return Text(tuple(parts))


def _flush(literal: list[str], parts: list[str | Variable]) -> None:
    joined = "".join(literal)
    if joined:
        parts.append(joined)
    literal.clear()


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def suggest(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, or the known words where they are few, or nothing."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    near = near or [k for k in known if k.lower() == name.lower()]
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known here: {', '.join(known)}" if 0 < len(known) <= 12 else ""


def order_variables(definitions: Mapping[str, Text], given: Iterable[str]) -> list[str]:
    """The order in which ``definitions`` can be filled; they may refer to each other in any order.

    A definition that refers to its own name means the given value of that name. Raises ``InputError`` for an unknown name
    (with a suggestion) and for a cycle (showing it).
    """
    given_names = set(given)
    order: list[str] = []
    state: dict[str, str] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if state.get(name) == "done":
            return
        if name in path:
            cycle = " -> ".join((*path[path.index(name) :], name))
            raise InputError(f"variables refer to each other in a circle: {cycle}", hint="break the circle at one of them")
        for used in sorted(definitions[name].names):
            if used in definitions and not (used == name and used in given_names):
                visit(used, (*path, name))
            elif used not in given_names:
                raise InputError(
                    f"variable {name} refers to {{{used}}}, which is not defined",
                    hint=suggest(used, given_names | set(definitions)),
                )
        state[name] = "done"
        order.append(name)

    for name in definitions:
        visit(name, ())
    return order


def fill_variables(definitions: Mapping[str, Text], order: Iterable[str], given: Mapping[str, str]) -> dict[str, str]:
    """Given values and, over them, the definitions filled in ``order`` (from ``order_variables``)."""
    values = dict(given)
    for name in order:
        values[name] = definitions[name].fill(values)
    return values


def expand_environment(text: str, environment: Mapping[str, str], *, place: Place | None = None) -> str:
    """``${NAME}`` from the environment. Raises ``InputError`` that names a missing variable."""
    scanned = scan(text, Syntax.DOLLAR, place=place)
    for name in sorted(scanned.names):
        if name not in environment:
            raise InputError(
                f"environment variable {name} is not set", place=place, hint=f"export {name}=… before running manor"
            )
    return scanned.fill(environment)
