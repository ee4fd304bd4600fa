"""Parsing and compiling an expression that was seen before."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from benchmarks.measure import Result, Settings, Spread, Verdict
from manor.data.documents.postgres.codec import FORM as POSTGRES_FORM
from manor.data.documents.postgres.compile import PostgresCompiler
from manor.data.documents.query.expression import ConditionExpression
from manor.data.documents.query.parse import parse_condition, parse_update
from manor.data.documents.query.spell import spell
from manor.data.documents.relational.compile import compiled_filter
from manor.data.documents.sqlite.codec import FORM as SQLITE_FORM
from manor.data.documents.sqlite.compile import SQLiteCompiler

TARGET_MICROSECONDS = 5.0
CONDITION = "#s = :s AND (attribute_not_exists(deleted_at) OR size(tags) > :n) AND begins_with(title, :t)"
NAMES = {"#s": "state"}
VALUES = {":s": "open", ":n": 2, ":t": "The"}
UPDATE = "SET #s = :s, version = version + :n REMOVE draft"
METHOD = """\
Processor time of one thread, of `parse_condition` (or `parse_update`) of a text that was seen before, and of what a driver then
asks for: the SQL of SQLite and PostgreSQL for these types of values, the spelling for DynamoDB. *First time* is the same text
made new each time."""


def run(settings: Settings) -> Result:
    """Each way a number of times; nothing alternates, because nothing is compared."""
    rounds = settings.rounds_or(20)
    seen = {name: Spread.of([_microseconds(way, 20_000) for _ in range(rounds)]) for name, way in WAYS.items()}
    new = Spread.of([_microseconds(_first_time(), 500) for _ in range(rounds)])
    rows = [[name, spread.show()] for name, spread in {**seen, "condition, SQLite, first time": new}.items()]
    slowest = max(seen.values(), key=lambda spread: spread.middle)
    verdict = Verdict(
        what="parsing and compiling a seen expression, the slowest way",
        target=f"≤ {TARGET_MICROSECONDS:.0f} µs",
        measured=slowest.show(),
        reached=slowest.middle <= TARGET_MICROSECONDS,
    )
    return Result(title="Expressions", method=METHOD, header=("way", "µs (min / median / max)"), rows=rows, verdicts=[verdict])


def _microseconds(way: Callable[[], object], count: int) -> float:
    began = time.thread_time()
    for _ in range(count):
        way()
    return (time.thread_time() - began) / count * 1e6


def _in_sqlite() -> object:
    return _sqlite(parse_condition(CONDITION, NAMES))


def _sqlite(expression: ConditionExpression) -> object:
    return compiled_filter(expression, VALUES, SQLITE_FORM, SQLiteCompiler)


def _first_time() -> Callable[[], object]:
    return lambda: _sqlite(parse_condition(f"{CONDITION} AND attribute_exists(a{next(_UNSEEN)})", NAMES))


_UNSEEN = itertools.count()


WAYS: dict[str, Callable[[], object]] = {
    "condition, parsed only": lambda: parse_condition(CONDITION, NAMES),
    "condition, SQLite": _in_sqlite,
    "condition, PostgreSQL": lambda: compiled_filter(
        parse_condition(CONDITION, NAMES), VALUES, POSTGRES_FORM, PostgresCompiler
    ),
    "condition, DynamoDB": lambda: parse_condition(CONDITION, NAMES).compiled(spell),
    "update, DynamoDB": lambda: parse_update(UPDATE, NAMES).compiled(spell),
}
