"""Expressions, conditions and queries as written (MySQL's or PostgreSQL's dialect) to PostgreSQL's.

What PostgreSQL understands is left as it stands, letter by letter; only what is visibly MySQL (backticks, functions that
PostgreSQL does not have, text that does not parse) goes through sqlglot. sqlglot is slow to import, so it is loaded when the
first expression needs it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from manor.control.engines.postgres.quoting import quote_literal
from manor.control.engines.postgres.types import Kind, PostgresType
from manor.control.templates.model import Column
from manor.errors import InputError, Place

if TYPE_CHECKING:
    from sqlglot import exp

_MYSQL_ONLY = re.compile(
    r"\b(?:IFNULL|IF|GROUP_CONCAT|DATE_FORMAT|CURDATE|CURTIME|UNIX_TIMESTAMP|FROM_UNIXTIME|STR_TO_DATE|DATEDIFF|JSON_EXTRACT|"
    r"JSON_UNQUOTE|LAST_INSERT_ID|UTC_TIMESTAMP)\s*\(|<=>|&&(?=\s*[\w(])",
    re.I,
)
_TOKEN = re.compile(
    r"""(?P<line>--[^\n]*)|(?P<block>/\*.*?\*/)|(?P<dollar>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)|(?P<single>'(?:[^']|'')*')"""
    r"""|(?P<double>"(?:[^"]|"")*")|(?P<back>`(?:[^`]|``)*`)""",
    re.S,
)
_ON_UPDATE = re.compile(
    r"\s*\bON\s+UPDATE\s+(?:CURRENT_TIMESTAMP|NOW|LOCALTIMESTAMP|LOCALTIME)\b\s*(?:\(\s*\d*\s*\))?\s*$", re.I
)
_NOW = re.compile(r"\(*\s*(?:CURRENT_TIMESTAMP|NOW|LOCALTIMESTAMP|LOCALTIME|SYSDATE)\s*(?:\(\s*(\d*)\s*\))?\s*\)*", re.I)
_UUID = re.compile(r"\(*\s*(?:UUID|GEN_RANDOM_UUID)\s*\(\s*\)\s*\)*", re.I)
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_LITERAL = re.compile(r"'(?:[^']|'')*'")
_DOUBLE_QUOTED = re.compile(r'"[^"]*"')
_BITS = re.compile(r"[bB]'([01]*)'")
_BARE_WORD = re.compile(r"[A-Za-z_]\w*")
_WORDS = frozenset(
    {"TRUE", "FALSE", "NULL", "CURRENT_DATE", "CURRENT_TIME", "CURRENT_USER", "SESSION_USER", "USER", "CURRENT_ROLE"}
)
_TRUE = frozenset({"1", "'1'", "b'1'", "true", "'true'", "'t'"})
_FALSE = frozenset({"0", "'0'", "b'0'", "false", "'false'", "'f'"})
_DATE_ONLY = frozenset({"CURDATE()", "CURRENT_DATE()", "(CURDATE())", "(CURRENT_DATE)", "(CURRENT_DATE())"})
_EMPTY_JSON = {"JSON_ARRAY()": "'[]'", "(JSON_ARRAY())": "'[]'", "JSON_OBJECT()": "'{}'", "(JSON_OBJECT())": "'{}'"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Default:
    """What ``default_value`` says: the expression, and whether every update sets the column to the time."""

    expression: str | None = None
    on_update: bool = False


def compile_default(column: Column, found: PostgresType) -> Default:
    """The column's default. Raises ``InputError`` for a bare word, which would be a text that lacks its quotes."""
    written = (column.default or "").strip()
    rest = _ON_UPDATE.sub("", written)
    on_update = rest != written
    if not rest or rest.upper() == "NULL":
        return Default(on_update=on_update)
    return Default(expression=_default_expression(rest, column, found), on_update=on_update)


def _default_expression(text: str, column: Column, found: PostgresType) -> str:
    known = _moment_or_uuid(text, found) or _constant(text, column, found)
    if known:
        return known
    if _BARE_WORD.fullmatch(text) and text.upper() not in _WORDS:
        hint = f"for the text {text} write '{text}' with the quotes, in YAML: \"'{text}'\""
        raise InputError(
            f"column {column.name!r}: the default {text!r} is not an SQL expression", place=column.place, hint=hint
        )
    return translate_expression(text, place=column.place)


def _moment_or_uuid(text: str, found: PostgresType) -> str | None:
    now = _NOW.fullmatch(text)
    if now:
        return "CURRENT_DATE" if found.kind is Kind.DATE else "CURRENT_TIMESTAMP" + (f"({now[1]})" if now[1] else "")
    if _UUID.fullmatch(text):
        return "gen_random_uuid()"
    if text.upper().replace(" ", "") in _DATE_ONLY:
        return "CURRENT_DATE"
    return _EMPTY_JSON.get(text.upper().replace(" ", ""))


def _constant(text: str, column: Column, found: PostgresType) -> str | None:
    if found.kind is Kind.BOOLEAN and text.lower() in _TRUE | _FALSE:
        return "true" if text.lower() in _TRUE else "false"
    if _DOUBLE_QUOTED.fullmatch(text):
        text = quote_literal(text[1:-1], place=column.place)
    if _LITERAL.fullmatch(text) and found.kind is Kind.ARRAY and found.allowed:
        chosen = ", ".join(f"'{part}'" for part in text[1:-1].split(",") if part)
        return f"ARRAY[{chosen}]::text[]"
    if _LITERAL.fullmatch(text) or _NUMBER.fullmatch(text):
        return text
    bits = _BITS.fullmatch(text)
    if bits:
        return str(int(bits[1] or "0", 2)) if found.kind is Kind.INTEGER else f"B'{bits[1]}'"
    return None


def translate_expression(text: str, *, names: Collection[str] = (), place: Place | None = None) -> str:
    """An expression that PostgreSQL can evaluate.

    A double-quoted word that is none of ``names`` (the columns in reach) and stands behind no dot is one of MySQL's strings.
    Raises ``InputError`` where a quote or a parenthesis is not closed; what else may be wrong, the server says.
    """
    text = _strings_to_literals(text.strip(), names, place)
    translated = _translate(f"SELECT ({text}\n)", f"SELECT ({_quotes_to_backticks(text)}\n)")
    if translated is not None:
        return translated.removeprefix("SELECT ")
    if not _is_closed(text):
        raise InputError(f"{_shorten(text)!r} cannot be read as SQL", place=place, hint="check parentheses and quotes")
    return text


def translate_query(text: str, *, name: str) -> str:
    """A view's query for PostgreSQL. Raises ``InputError`` unless it is one query."""
    code = text.strip().rstrip(";").strip()
    if not re.match(r"(?:SELECT|WITH|VALUES|TABLE)\b|\(", code_only(code).lstrip(), re.I):
        raise InputError(f"view {name!r}: the statement is not a query", hint="select_statement begins with SELECT or WITH")
    translated = _translate(code, code)
    if translated is None and not _is_closed(code):
        raise InputError(f"view {name!r}: the query cannot be read", hint="check parentheses and quotes")
    return translated or code


def translate_generated(text: str, *, names: Collection[str] = (), place: Place | None = None) -> str:
    """The expression of a generated column.

    CONCAT becomes ``||``: it means the same in MySQL (NULL if any part is), and PostgreSQL's CONCAT is not immutable, as it
    would have to be.
    """
    expression = translate_expression(text, names=names, place=place)
    if not re.search(r"\bconcat\s*\(", expression, re.I):
        return expression
    from sqlglot import exp

    tree = _parse(f"SELECT ({expression}\n)", "postgres")
    if tree is None:
        return expression
    joined = tree.transform(lambda node: _join(node) if isinstance(node, exp.Concat) else node)
    return joined.sql("postgres").removeprefix("SELECT ")


def _join(concat: exp.Concat) -> exp.Expression:
    from sqlglot import exp

    parts: list[exp.Expression] = [
        p if isinstance(p, exp.Literal) and p.is_string else exp.cast(exp.paren(p), "text") for p in concat.expressions
    ]
    joined: exp.Expression = parts[0]
    for part in parts[1:]:
        joined = exp.DPipe(this=joined, expression=part)
    return exp.paren(joined)


def backticks_to_quotes(text: str) -> str:
    """MySQL's quoted names as PostgreSQL's; strings and comments stay."""

    def token(match: re.Match[str]) -> str:
        if match["back"] is None:
            return match[0]
        return '"' + match[0][1:-1].replace("``", "`").replace('"', '""') + '"'

    return _TOKEN.sub(token, text)


def code_only(text: str) -> str:
    """The text with comments, strings and double-quoted names blanked, positions kept: what keywords can be looked for in."""
    return _TOKEN.sub(lambda match: match[0] if match["back"] else re.sub(r"[^\n]", " ", match[0]), text)


def query_tables(text: str) -> frozenset[str]:
    """Names that may be tables or views which a query reads; more than those where the query cannot be parsed."""
    from sqlglot import exp

    tree = _parse(text, "postgres")
    if tree is None:
        return frozenset(re.findall(r"\w+", text))
    return frozenset(table.name for table in tree.find_all(exp.Table))


def _strings_to_literals(text: str, names: Collection[str], place: Place | None) -> str:
    def token(match: re.Match[str]) -> str:
        inside = match[0][1:-1].replace('""', '"')
        if match["double"] is None or inside in names or _touches_dot(text, match):
            return match[0]
        return quote_literal(inside, place=place)

    return _TOKEN.sub(token, text)


def _touches_dot(text: str, match: re.Match[str]) -> bool:
    return text[: match.start()].rstrip().endswith(".") or text[match.end() :].lstrip().startswith(".")


def _is_closed(text: str) -> bool:
    """Whether all quotes and parentheses are closed and no second statement follows."""
    code = _TOKEN.sub(" ", text).rstrip().rstrip(";")
    return not re.search("['\"`;]", code) and code.count("(") == code.count(")")


def _quotes_to_backticks(text: str) -> str:
    """What is double-quoted (only names, by now) as MySQL quotes names."""

    def token(match: re.Match[str]) -> str:
        if match["double"] is None:
            return match[0]
        return "`" + match[0][1:-1].replace('""', '"').replace("`", "``") + "`"

    return _TOKEN.sub(token, text)


def _translate(text: str, mysql_text: str) -> str | None:
    """The query in PostgreSQL's dialect, or None where it stands in it already or neither dialect can read it."""
    code = code_only(text)
    foreign = "`" in code or _MYSQL_ONLY.search(code)
    if not foreign and _parse(text, "postgres") is not None:
        return None
    tree = _parse(mysql_text, "mysql")
    if tree is None:
        return None
    from sqlglot.errors import ErrorLevel

    return tree.sql("postgres", unsupported_level=ErrorLevel.IGNORE)


def _parse(text: str, dialect: str) -> exp.Expression | None:
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    logger = logging.getLogger("sqlglot")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # it warns of statements that it only passes through
    try:
        trees = sqlglot.parse(text, read=dialect)
    except SqlglotError:
        return None
    finally:
        logger.setLevel(level)
    tree = trees[0] if len(trees) == 1 else None
    return tree if isinstance(tree, exp.Expression) and isinstance(tree, exp.Query) else None


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
