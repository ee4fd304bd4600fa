"""What a database is made of, as one line per object and as one hash over them.

Two databases of one template have the same lines, whatever their names, OIDs, rows and sequence positions. The values of
isolated columns are checked and then shown as a placeholder; Manor's own tables are left out. Who may enter the database beside
its owner and the role of its own name is part of it. Comments, large objects, event triggers, publications and settings of the
database as a whole are not.

The query is one round trip and works on PostgreSQL 14 to 18 for any role. Names and constants are printed under settings of
its own (search path, time zone, date style), which it puts back. Reading definitions takes ACCESS SHARE locks for its length.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from manor.control.engines.driver import IsolatedColumn
from manor.control.engines.postgres.fingerprint_facts import FACTS
from manor.control.engines.postgres.isolation import function_body, function_name
from manor.control.engines.postgres.quoting import quote_literal

MANOR_TABLES = ("schema_migrations",)
MANOR_TABLE_PREFIX = "manor_"
"""Tables, views and sequences of schema ``public`` that belong to Manor and may differ from tenant to tenant."""

FIRST_NORMAL_OID = 16384
"""Below it OIDs are given by initdb (PostgreSQL source, access/transam.h: FirstNormalObjectId)."""

_SETTINGS = {
    "search_path": "",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
}
"""All that changes how a definition is printed."""


@functools.cache
def fingerprint_query() -> str:
    """The query for psycopg with ``fingerprint_parameters``; returns one row: hex SHA-256, isolation values are right."""
    return f"""{_facts()},
    outcome AS (
        SELECT encode(sha256(convert_to(coalesce(string_agg(line, E'\\n' ORDER BY line), ''), 'UTF8')), 'hex') AS fingerprint,
               count(proof) = cardinality(%(functions)s::text[]) AS isolation_ok
        FROM lines
    )
    SELECT CASE WHEN {_restore()} THEN fingerprint END, isolation_ok FROM outcome, settings"""  # noqa: S608 - made of constants


@functools.cache
def describe_query() -> str:
    """The query for the lines behind the hash, with the same parameters; returns one row: an array of text in byte order."""
    return f"""{_facts()},
    outcome AS (SELECT coalesce(array_agg(line ORDER BY line), '{{}}') AS described FROM lines)
    SELECT CASE WHEN {_restore()} THEN described END FROM outcome, settings"""  # noqa: S608 - made of constants


def fingerprint_parameters(isolation: Sequence[IsolatedColumn]) -> dict[str, list[str]]:
    """Named parameters of both queries; in a golden database the columns' values are placeholders."""
    return {
        "functions": [function_name(column) for column in isolation],
        "bodies": [function_body(column.value) for column in isolation],
    }


def explain_drift(golden_lines: Sequence[str], tenant_lines: Sequence[str]) -> list[str]:
    """How a tenant's lines differ from the golden ones, each difference one short line, in the order of the objects."""
    golden, tenant = _by_object(golden_lines), _by_object(tenant_lines)
    differences = []
    for name in sorted(golden.keys() | tenant.keys()):
        if name not in tenant:
            differences.append(f"{name}: missing")
        elif name not in golden:
            differences.append(f"{name}: extra")
        else:
            differences += [f"{name}: {change}" for change in _changes(golden[name], tenant[name])]
    return differences


def _by_object(lines: Sequence[str]) -> dict[str, dict[str, str]]:
    objects = {}
    for line in lines:
        name, *facts = line.split("\t")
        objects[name] = dict(fact.split("=", 1) for fact in facts)
    return objects


def _changes(golden: dict[str, str], tenant: dict[str, str]) -> list[str]:
    changes = []
    for fact in sorted(golden.keys() | tenant.keys()):
        before, after = golden.get(fact, "none"), tenant.get(fact, "none")
        if before != after:
            changes.append(f"{fact} is {_shorten(after)}, should be {_shorten(before)}")
    return changes


def _shorten(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:60]}…{text[-30:]}"


def _facts() -> str:
    """The CTEs up to ``lines``: (line, proof), where ``proof`` is set on what shows one tenant value to be right."""
    names = ", ".join(quote_literal(name) for name in MANOR_TABLES)
    hidden = f"relname IN ({names}) OR starts_with(relname::text, {quote_literal(MANOR_TABLE_PREFIX)})"
    current = ", ".join(f"current_setting('{name}')" for name in _SETTINGS)
    changed = " || ".join(f"set_config('{name}', '{value}', true)" for name, value in _SETTINGS.items())
    return (
        FACTS.replace(":hidden:", hidden)
        .replace(":current:", current)
        .replace(":changed:", changed)
        .replace(":first:", str(FIRST_NORMAL_OID))
    )


def _restore() -> str:
    restored = " || ".join(f"set_config('{name}', before[{index}], true)" for index, name in enumerate(_SETTINGS, 1))
    return f"({restored}) IS NOT NULL"
