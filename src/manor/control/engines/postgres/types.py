"""Column types as written (MySQL's or PostgreSQL's spelling) to PostgreSQL's.

Where one spelling means two things, the reading that loses nothing wins:

- ``TIMESTAMP`` is an instant (MySQL's meaning): ``timestamptz``. ``TIMESTAMP WITHOUT TIME ZONE`` spelled out, and
  ``DATETIME``, stay local times.
- ``FLOAT`` and ``REAL`` become ``double precision``; ``FLOAT(1..24)`` and ``FLOAT4`` are ``real`` in both worlds.
- ``JSON`` and ``JSONB`` become ``jsonb`` (MySQL's JSON is binary as well: order of keys and blanks are not kept).
- ``TINYINT(1)`` and ``BIT(1)``/``BIT`` are MySQL's booleans: ``boolean``. ``BIT(n)`` stays a bit string.
- ``INT UNSIGNED`` needs the next larger type; ``BIGINT UNSIGNED`` becomes ``numeric(20)``, as an identity ``bigint``.
- ``ENUM`` becomes ``text`` with a check (a release can change it inside a transaction), ``SET`` becomes ``text[]`` with a
  check.
"""

from __future__ import annotations

import enum
import functools
import re
from dataclasses import dataclass, replace

from manor.control.templates.model import Column
from manor.errors import InputError
from manor.scan import suggest


class Kind(enum.StrEnum):
    """What values a column takes, as far as checking them goes."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    DATE = "date"
    JSON = "json"
    BYTES = "bytes"
    UUID = "uuid"
    ARRAY = "array"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresType:
    """A type of PostgreSQL and what stands around it in the column's definition."""

    sql: str
    kind: Kind
    identity: bool = False
    allowed: tuple[str, ...] = ()
    """Values of an ENUM (one of them) or, where ``kind`` is array, of a SET (any of them)."""
    element: PostgresType | None = None
    """Of an array."""
    extension: str | None = None


@dataclass(frozen=True, slots=True)
class _Rule:
    sql: str
    kind: Kind
    arguments: int = 0
    """How many arguments are passed on."""
    width: bool = False
    """Arguments are a display width or a storage class of MySQL: accepted and dropped."""
    unsigned: str = ""
    identity: bool = False
    extension: str | None = None
    limit: int = 0
    """Largest first argument, 0 for any."""


_VARCHAR = _Rule("varchar", Kind.TEXT, arguments=1, limit=10_485_760)
_CHAR = _Rule("char", Kind.TEXT, arguments=1, limit=10_485_760)
_INTEGER = _Rule("integer", Kind.INTEGER, width=True, unsigned="bigint")
_NUMERIC = _Rule("numeric", Kind.NUMBER, arguments=2, limit=1000, unsigned="numeric")
_DOUBLE = _Rule("double precision", Kind.NUMBER, width=True, unsigned="double precision")
_TEXT = _Rule("text", Kind.TEXT, width=True)
_BYTEA = _Rule("bytea", Kind.BYTES, width=True)

_RULES: dict[str, _Rule] = {
    "tinyint": _Rule("smallint", Kind.INTEGER, width=True, unsigned="smallint"),
    "smallint": _Rule("smallint", Kind.INTEGER, width=True, unsigned="integer"),
    "int2": _Rule("smallint", Kind.INTEGER),
    "mediumint": _Rule("integer", Kind.INTEGER, width=True, unsigned="integer"),
    "int": _INTEGER,
    "integer": _INTEGER,
    "int4": _Rule("integer", Kind.INTEGER),
    "bigint": _Rule("bigint", Kind.INTEGER, width=True, unsigned="numeric(20)"),
    "int8": _Rule("bigint", Kind.INTEGER),
    "smallserial": _Rule("smallint", Kind.INTEGER, identity=True),
    "serial2": _Rule("smallint", Kind.INTEGER, identity=True),
    "serial": _Rule("integer", Kind.INTEGER, identity=True),
    "serial4": _Rule("integer", Kind.INTEGER, identity=True),
    "bigserial": _Rule("bigint", Kind.INTEGER, identity=True),
    "serial8": _Rule("bigint", Kind.INTEGER, identity=True),
    "year": _Rule("smallint", Kind.INTEGER, width=True),
    "decimal": _NUMERIC,
    "numeric": _NUMERIC,
    "dec": _NUMERIC,
    "fixed": _NUMERIC,
    "number": _NUMERIC,
    "double": _DOUBLE,
    "real": _DOUBLE,
    "float": _DOUBLE,
    "float8": _DOUBLE,
    "float4": _Rule("real", Kind.NUMBER),
    "boolean": _Rule("boolean", Kind.BOOLEAN),
    "bool": _Rule("boolean", Kind.BOOLEAN),
    "bit": _Rule("bit", Kind.OTHER, arguments=1),
    "varbit": _Rule("varbit", Kind.OTHER, arguments=1),
    "char": _CHAR,
    "character": _CHAR,
    "nchar": _CHAR,
    "bpchar": _CHAR,
    "varchar": _VARCHAR,
    "varchar2": _VARCHAR,
    "nvarchar": _VARCHAR,
    **dict.fromkeys(("text", "tinytext", "mediumtext", "longtext", "clob", "string"), _TEXT),
    **dict.fromkeys(("blob", "tinyblob", "mediumblob", "longblob", "binary", "varbinary", "bytea"), _BYTEA),
    "citext": _Rule("citext", Kind.TEXT, extension="citext"),
    "name": _Rule("name", Kind.TEXT),
    "json": _Rule("jsonb", Kind.JSON),
    "jsonb": _Rule("jsonb", Kind.JSON),
    "uuid": _Rule("uuid", Kind.UUID),
    "date": _Rule("date", Kind.DATE),
    "datetime": _Rule("timestamp", Kind.TIMESTAMP, arguments=1, limit=6),
    "timestamp": _Rule("timestamptz", Kind.TIMESTAMP, arguments=1, limit=6),
    "timestamptz": _Rule("timestamptz", Kind.TIMESTAMP, arguments=1, limit=6),
    "time": _Rule("time", Kind.OTHER, arguments=1, limit=6),
    "timetz": _Rule("timetz", Kind.OTHER, arguments=1, limit=6),
    "interval": _Rule("interval", Kind.OTHER, arguments=1, limit=6),
    "hstore": _Rule("hstore", Kind.OTHER, extension="hstore"),
    "ltree": _Rule("ltree", Kind.OTHER, extension="ltree"),
    **{name: _Rule(name, Kind.OTHER, arguments=1, extension="vector") for name in ("vector", "halfvec", "sparsevec")},
}
_PASSED_THROUGH = (
    "inet cidr macaddr macaddr8 money xml tsvector tsquery point line lseg box path polygon circle jsonpath pg_lsn oid "
    "regclass int4range int8range numrange tsrange tstzrange daterange "
    "int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange"
)
_RULES |= {name: _Rule(name, Kind.OTHER) for name in _PASSED_THROUGH.split()}

_LONG_NAMES = (
    (re.compile(r"^double\s+precision\b", re.I), "double"),
    (re.compile(r"^(national\s+)?char(acter)?\s+varying\b", re.I), "varchar"),
    (re.compile(r"^national\s+varchar\b", re.I), "varchar"),
    (re.compile(r"^national\s+char(acter)?\b", re.I), "char"),
    (re.compile(r"^bit\s+varying\b", re.I), "varbit"),
)
_SHAPE = re.compile(r"""([a-z_][a-z0-9_]*)\s*(?:\(((?:[^()'"]|'(?:[^'\\]|''|\\.)*'|"[^"]*")*)\))?(.*)""", re.I | re.S)
_QUOTED = re.compile(r"""'((?:[^'\\]|''|\\.)*)'|"([^"]*)\"""")
_SUFFIXES = {
    "unsigned": re.compile(r"\bunsigned\b|\bzerofill\b", re.I),
    "signed": re.compile(r"\bsigned\b", re.I),
    "identity": re.compile(r"\bauto_?increment\b|\bgenerated\s+(by\s+default|always)\s+as\s+identity\b", re.I),
    "without_zone": re.compile(r"\bwithout\s+time\s+zone\b", re.I),
    "with_zone": re.compile(r"\bwith\s+time\s+zone\b", re.I),
    "charset": re.compile(r"\b(character\s+set|charset|collate)\s+\S+", re.I),
    "array": re.compile(r"(\[\s*\d*\s*\]\s*)+|\barray\b", re.I),
}


@functools.lru_cache(maxsize=4096)
def translate_type(column: Column) -> PostgresType:
    """The PostgreSQL type of a column. Raises ``InputError`` (with the column's place) for a type that means nothing here."""
    text = column.type.strip()
    for pattern, name in _LONG_NAMES:
        text = pattern.sub(name, text)
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise _error(column, "cannot be read", "write it like VARCHAR(100)")
    suffixes = _read_suffixes(column, shape[3])
    found = _scalar(column, shape[1].lower(), shape[2], suffixes)
    if "array" in suffixes:
        found = PostgresType(sql=f"{found.sql}[]", kind=Kind.ARRAY, element=found, extension=found.extension)
    return _as_identity(column, found) if column.auto_increment or found.identity or "identity" in suffixes else found


def _scalar(column: Column, name: str, written: str | None, suffixes: set[str]) -> PostgresType:
    if name in ("enum", "set"):
        return _choice(column, name, written or "")
    rule = _RULES.get(name)
    if rule is None:
        raise _error(column, "is not a known type", suggest(name, [*_RULES, "enum", "set"]))
    arguments = _arguments(column, written)
    if (name == "tinyint" and arguments == [1]) or (name == "bit" and arguments in ([], [1])):
        return PostgresType(sql="boolean", kind=Kind.BOOLEAN)
    if name == "float" and len(arguments) == 1 and arguments[0] <= 24:
        return PostgresType(sql="real", kind=Kind.NUMBER)
    return _apply(column, rule, arguments, suffixes)


def _apply(column: Column, rule: _Rule, arguments: list[int], suffixes: set[str]) -> PostgresType:
    sql = rule.sql
    if "unsigned" in suffixes:
        if not rule.unsigned:
            raise _error(column, "cannot be UNSIGNED", "only numbers have a sign")
        sql = rule.unsigned
    if suffixes & {"with_zone", "without_zone"}:
        sql = _with_zone(column, sql, "with_zone" in suffixes)
    if arguments and not rule.width:
        if len(arguments) > rule.arguments:
            raise _error(column, f"takes {rule.arguments or 'no'} argument{'s' * (rule.arguments > 1)}", "")
        if rule.limit and arguments[0] > rule.limit:
            raise _error(column, f"allows at most {rule.limit:,}", "")
        sql += f"({', '.join(map(str, arguments))})"
    return PostgresType(sql=sql, kind=rule.kind, identity=rule.identity, extension=rule.extension)


def _with_zone(column: Column, sql: str, zone: bool) -> str:
    bare = sql.removesuffix("tz")
    if bare not in ("timestamp", "time"):
        raise _error(column, "has no time zone", "only TIMESTAMP and TIME have one")
    return bare + "tz" * zone


def _read_suffixes(column: Column, rest: str) -> set[str]:
    found = set()
    for name, pattern in _SUFFIXES.items():
        rest, count = pattern.subn(" ", rest)
        if count:
            found.add(name)
    if rest.strip():
        hint = "nullable, primary_key, default_value and display_name are keys of their own"
        raise _error(column, f"has {rest.strip()!r} that does not belong to a type", hint)
    return found


def _arguments(column: Column, written: str | None) -> list[int]:
    if written is None or not written.strip():
        return []
    parts = [part.strip() for part in written.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise _error(column, "has an argument that is not a whole number", "write it like VARCHAR(100)")
    return [int(part) for part in parts]


def _choice(column: Column, name: str, written: str) -> PostgresType:
    allowed = column.items or tuple(_unquote(match) for match in _QUOTED.finditer(written))
    if not allowed:
        raise _error(column, "names no values", "write ENUM('one', 'two') or give items")
    text = PostgresType(sql="text", kind=Kind.TEXT)
    if name == "enum":
        return replace(text, allowed=allowed)
    return PostgresType(sql="text[]", kind=Kind.ARRAY, element=text, allowed=allowed)


def _unquote(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[2]
    return re.sub(r"''|\\(.)", lambda escape: escape[1] or "'", match[1])


def _as_identity(column: Column, found: PostgresType) -> PostgresType:
    if found.kind is Kind.BOOLEAN:
        found = PostgresType(sql="smallint", kind=Kind.INTEGER)
    if found.kind is not Kind.INTEGER:
        raise _error(column, "cannot count up by itself", "auto_increment needs SMALLINT, INT or BIGINT")
    return replace(found, sql="bigint" if found.sql.startswith("numeric") else found.sql, identity=True)


def _error(column: Column, problem: str, hint: str) -> InputError:
    return InputError(f"column {column.name!r}: the type {column.type!r} {problem}", place=column.place, hint=hint)
