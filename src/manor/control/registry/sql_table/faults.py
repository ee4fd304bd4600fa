"""Which value of a table its database, or the driver, cannot hand out: found by reading one column after the other.

Only ever asked for once a statement has failed, so that the walk itself pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from manor.control.registry.sql_table.columns import BoundFields

UNREADABLE = (sa.exc.SQLAlchemyError, ValueError, OverflowError)
"""What reading a value raises; ``ValueError`` is the driver's own, for a text that is not UTF-8 or a number too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Where a value stands."""

    field: str
    tenant_id: str | None
    """None where the server does not tell up to which row it came."""


def find_fault(connection: Connection, table: sa.Table, fields: BoundFields, order: Sequence[Any]) -> Fault | None:
    """The first field with a value that cannot be read; None where each can. ``order`` sorts the rows by their ids."""
    own = fields["tenant_id"]
    try:
        ids = [str(one) for one in connection.execute(sa.select(own.expression).select_from(table).order_by(*order)).scalars()]
    except UNREADABLE:
        return Fault(field="tenant_id", tenant_id=None)
    for name, bound in fields.items():
        if bound.read is not None:
            connection.rollback()  # a statement that failed ends the transaction
            number = _failing_row(connection, sa.select(bound.read).select_from(table).order_by(*order))
            if number is not None:
                return Fault(field=name, tenant_id=ids[number] if 0 <= number < len(ids) else None)
    return None


def _failing_row(connection: Connection, statement: sa.Select[Any]) -> int | None:
    """From 0; -1 where the server gave no row at all, None where all can be read."""
    number = -1
    try:
        result = connection.execute(statement)
        number = 0
        while result.fetchone() is not None:
            number += 1
    except UNREADABLE:
        return number
    return None
