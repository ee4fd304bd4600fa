"""What an expression is made of. Attribute names are final (``#n`` is replaced); values stay references (``:v``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Path:
    """``address.lines[2]`` is ``("address", "lines", 2)``: names are str, list positions int from 0."""

    parts: tuple[str | int, ...]

    @property
    def name(self) -> str:
        """The attribute of the item that it begins with."""
        return str(self.parts[0])

    def __str__(self) -> str:
        shown = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.parts)
        return shown.removeprefix(".")


@dataclass(frozen=True, slots=True)
class Ref:
    """A value that the caller passes: ``Ref(":v")`` stands for ``values[":v"]``."""

    name: str


@dataclass(frozen=True, slots=True)
class Size:
    """``size(path)``: characters of S, bytes of B, elements of a set, L or M; has no value for other types."""

    path: Path


Operand: TypeAlias = Path | Ref | Size


# Conditions


@dataclass(frozen=True, slots=True)
class Compare:
    """``left op right``; op is one of ``= <> < <= > >=``."""

    op: str
    left: Operand
    right: Operand


@dataclass(frozen=True, slots=True)
class Between:
    """``operand BETWEEN low AND high``, both ends included."""

    operand: Operand
    low: Operand
    high: Operand


@dataclass(frozen=True, slots=True)
class In:
    """``operand IN (a, b, …)``: equal to one of them."""

    operand: Operand
    options: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """``attribute_exists(path)``. ``attribute_not_exists(path)`` is ``Not(Exists(path))``."""

    path: Path


@dataclass(frozen=True, slots=True)
class HasType:
    """``attribute_type(path, :t)``; the value is one of ``values.TYPE_NAMES``."""

    path: Path
    type: Ref


@dataclass(frozen=True, slots=True)
class BeginsWith:
    """``begins_with(operand, prefix)``: both S or both B."""

    operand: Operand
    prefix: Operand


@dataclass(frozen=True, slots=True)
class Contains:
    """``contains(operand, part)``: a piece of S or B, an element of a set or of L."""

    operand: Operand
    part: Operand


@dataclass(frozen=True, slots=True)
class And:
    """All of them; at least two."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of them; at least two."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Conditions know true and false only, so this is the other one."""

    part: Condition


Condition: TypeAlias = Compare | Between | In | Exists | HasType | BeginsWith | Contains | And | Or | Not


# Updates


@dataclass(frozen=True, slots=True)
class IfNotExists:
    """``if_not_exists(path, default)``: what is at ``path``, else the default."""

    path: Path
    default: SetValue


@dataclass(frozen=True, slots=True)
class ListAppend:
    """``list_append(first, second)``: one list behind the other."""

    first: SetValue
    second: SetValue


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """``left + right`` or ``left - right``."""

    op: str
    left: SetValue
    right: SetValue


SetValue: TypeAlias = Path | Ref | IfNotExists | ListAppend | Arithmetic


@dataclass(frozen=True, slots=True)
class Assign:
    """``SET path = value``."""

    path: Path
    value: SetValue


@dataclass(frozen=True, slots=True)
class Merge:
    """``ADD path :v`` or ``DELETE path :v``."""

    path: Path
    value: Ref


@dataclass(frozen=True, slots=True)
class Update:
    """All right sides see the item as it was. The order of execution is sets, adds, deletes, removes; paths never overlap."""

    sets: tuple[Assign, ...] = ()
    removes: tuple[Path, ...] = ()
    adds: tuple[Merge, ...] = ()
    deletes: tuple[Merge, ...] = ()

    def paths(self) -> tuple[Path, ...]:
        """Every path that is written."""
        return (
            *(one.path for one in self.sets),
            *self.removes,
            *(one.path for one in self.adds),
            *(one.path for one in self.deletes),
        )


@dataclass(frozen=True, slots=True)
class Projection:
    """The parts of an item that are wanted."""

    paths: tuple[Path, ...]


Node: TypeAlias = Condition | Update | Projection
