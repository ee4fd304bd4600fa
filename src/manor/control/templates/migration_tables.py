"""The tables that only migrations make, as far as rows must be checked against them.

Rows for such a table cannot go into the bare golden, where it does not exist yet: they are loaded into each new tenant, after
the migrations. Reading stops at ``-- migrate:down``; releases read the files properly.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

from manor.control.templates.schema_layer import SchemaLayer

MIGRATIONS = "migrations"
_DOWN = re.compile(r"^[ \t]*--[ \t]*migrate:down\b.*", re.MULTILINE | re.DOTALL)


def later_layer(texts: Iterable[str], known: Iterable[SchemaLayer]) -> SchemaLayer:
    """The layer of all tables in ``texts`` (migrations in order) that no layer of ``known`` has. It runs nothing."""
    from manor.control.templates.schema_sql import parse_schema_sql  # imports sqlglot, which few projects need

    ups = "\n".join(_DOWN.sub("", text) + "\n;" for text in texts)
    layer, _ = parse_schema_sql(ups, MIGRATIONS)
    names = {name for other in known for _, name in other.tables}
    tables = {name: table for name, table in layer.tables.items() if name[1] not in names}
    relations = {name: layer.relations.get(name, ()) for name in tables}
    return dataclasses.replace(layer, tables=tables, relations=relations, sql="")
