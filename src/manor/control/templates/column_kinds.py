"""What a column type means for the values that may stand in it; MySQL and PostgreSQL spellings alike.

Only as much as checking rows needs: translating types is the engines' work. A type that is not known here (a domain, one
of an extension) has family ``OTHER`` and takes any value.
"""

from __future__ import annotations

import enum
import functools
import re
from dataclasses import dataclass


class Family(enum.Enum):
    """Groups of types whose values are checked alike."""

    TEXT = "text"
    INTEGER = "a whole number"
    DECIMAL = "a number"
    FLOAT = "a floating-point number"
    BOOLEAN = "true or false"
    TIMESTAMP = "a date and time"
    DATE = "a date"
    TIME = "a time of day"
    JSON = "JSON"
    ARRAY = "an array"
    UUID = "a UUID"
    BINARY = "bytes"
    ENUM = "one of its items"
    SET = "a set of its items"
    OTHER = "a value"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnKind:
    """A type taken apart. ``length`` counts characters, ``precision`` and ``scale`` decimal digits."""

    family: Family
    length: int | None = None
    precision: int | None = None
    scale: int = 0
    lowest: int = 0
    highest: int = 0
    items: tuple[str, ...] = ()
    element: ColumnKind | None = None
    """What the elements of an array are."""

    @property
    def holds_tenant_value(self) -> bool:
        """Whether a tenant's value (text) can stand in it."""
        return self.family in (Family.TEXT, Family.UUID)


_TYPE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*(?:\s+(?:precision|varying))?)\s*(?:\((.*?)\))?(.*)", re.DOTALL | re.IGNORECASE)
_ITEMS = re.compile(r"'((?:[^']|'')*)'")
_ENUM = re.compile(r"\s*(?:enum|set)\s*\((.*)\)", re.DOTALL | re.IGNORECASE)

_INTEGER_BYTES = {
    "tinyint": 1, "smallint": 2, "int2": 2, "smallserial": 2, "year": 2, "mediumint": 3, "int": 4, "integer": 4, "int4": 4,
    "serial": 4, "bigint": 8, "int8": 8, "bigserial": 8,
}  # fmt: skip
_SERIAL = frozenset({"smallserial", "serial", "bigserial", "serial2", "serial4", "serial8"})
_FAMILIES: dict[Family, frozenset[str]] = {
    Family.TEXT: frozenset(
        {"char", "character", "varchar", "nchar", "nvarchar", "character_varying", "bpchar", "citext", "name"}
        | {"text", "tinytext", "mediumtext", "longtext"}
    ),
    Family.DECIMAL: frozenset({"decimal", "numeric", "dec", "fixed", "money"}),
    Family.FLOAT: frozenset({"float", "double", "real", "double_precision", "float4", "float8"}),
    Family.BOOLEAN: frozenset({"bool", "boolean"}),
    Family.TIMESTAMP: frozenset({"timestamp", "timestamptz", "datetime"}),
    Family.DATE: frozenset({"date"}),
    Family.TIME: frozenset({"time", "timetz"}),
    Family.JSON: frozenset({"json", "jsonb"}),
    Family.UUID: frozenset({"uuid", "uniqueidentifier"}),
    Family.BINARY: frozenset({"bytea", "blob", "tinyblob", "mediumblob", "longblob", "binary", "varbinary"}),
    Family.ENUM: frozenset({"enum"}),
    Family.SET: frozenset({"set"}),
}
_FAMILY_OF = {word: family for family, words in _FAMILIES.items() for word in words}
_UNCHECKED = (
    "bit varbit interval hstore ltree vector halfvec sparsevec clob string varchar2 number inet cidr macaddr macaddr8 xml "
    "tsvector tsquery point line lseg box path polygon circle jsonpath pg_lsn oid regclass "
    "int4range int8range numrange tsrange tstzrange daterange "
    "int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange"
)
"""First words of types that engines know and whose values are left to the database."""
KNOWN_WORDS = frozenset(_FAMILY_OF) | frozenset(_INTEGER_BYTES) | _SERIAL | frozenset(_UNCHECKED.split())
"""First words of the types that are known here, in lower case."""


@functools.lru_cache(maxsize=4096)
def kind_of(declared: str, items: tuple[str, ...] = ()) -> ColumnKind:
    """Take ``declared`` (such as ``VARCHAR(100)``, ``INT UNSIGNED``, ``text[]``) apart.

    ``items`` are the column's own where an ENUM or SET has them beside its type.
    """
    match = _TYPE.match(declared)
    if not match:
        return ColumnKind(family=Family.OTHER)
    word = re.sub(r"\s+", "_", match.group(1).lower())
    numbers = tuple(int(n) for n in re.findall(r"\d+", match.group(2) or ""))
    rest = match.group(3).lower()
    if re.search(r"\[\s*\d*\s*\]|\barray\b", rest):
        element = re.sub(r"\[\s*\d*\s*\]|\barray\b(?:\s*\[\d*\])?", "", declared, flags=re.IGNORECASE)
        return ColumnKind(family=Family.ARRAY, element=kind_of(element.strip(), items))
    if (word == "tinyint" and numbers == (1,)) or (word == "bit" and numbers in ((), (1,)) and not rest.strip()):
        return ColumnKind(family=Family.BOOLEAN)
    if word in _INTEGER_BYTES:
        return _integer(_INTEGER_BYTES[word], unsigned="unsigned" in rest, word=word)
    family = _FAMILY_OF.get(word, Family.OTHER)
    if family in (Family.ENUM, Family.SET):
        return ColumnKind(family=family, items=items or inline_items(declared))
    if family is Family.DECIMAL and numbers:
        return ColumnKind(family=family, precision=numbers[0], scale=numbers[1] if len(numbers) > 1 else 0)
    return ColumnKind(family=family, length=_text_length(word, numbers) if family is Family.TEXT else None)


def _integer(size: int, *, unsigned: bool, word: str) -> ColumnKind:
    if word == "year":
        return ColumnKind(family=Family.INTEGER, lowest=0, highest=9999)
    bits = size * 8
    lowest, highest = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return ColumnKind(family=Family.INTEGER, lowest=lowest, highest=highest)


def _text_length(word: str, numbers: tuple[int, ...]) -> int | None:
    if numbers:
        return numbers[0] if "text" not in word else None
    return 1 if word in ("char", "character", "nchar") else None


def inline_items(declared: str) -> tuple[str, ...]:
    """The items of ``ENUM('a', 'b')``; none for any other type."""
    match = _ENUM.match(declared)
    return tuple(item.replace("''", "'") for item in _ITEMS.findall(match.group(1))) if match else ()


def numbers_itself(declared: str) -> bool:
    """Whether the type itself makes the database number the rows (``INT AUTO_INCREMENT``, ``BIGSERIAL``, ``… AS IDENTITY``)."""
    words = declared.lower().replace("(", " ").split()
    return "auto_increment" in words or words[-2:] == ["as", "identity"] or (bool(words) and words[0] in _SERIAL)
