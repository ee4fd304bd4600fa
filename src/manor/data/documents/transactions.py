"""Collect operations, then do all of them or none."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from manor.data.documents.collection import DatabaseInterface
from manor.data.documents.faults import OutcomeUnknown
from manor.errors import ConflictError


class TransactionManager:
    """Operations on one store, sent together by ``commit``; ``async with`` commits at its end, or drops all after an exception.

    One manager is one transaction: after ``commit``, whatever became of it, or ``rollback`` adding raises ``ConflictError``.
    Only after ``OutcomeUnknown``, or where its caller was cancelled, ``commit`` may be called again: the token stays the same,
    so that nothing is done twice. The end of a block never sends again what a ``commit`` inside it sent.
    """

    def __init__(self, db_adapter: DatabaseInterface, *, token: str | None = None) -> None:
        self.db = db_adapter
        self.token = token or db_adapter.options.make_token()
        self.operations: list[dict[str, Any]] = []
        self._ended = ""
        self._sent = False

    def add_put(
        self, table_name: str, item: Mapping[str, Any], condition_expression: str | None = None, **expressions: Any
    ) -> None:
        """Store an item. ``expressions``: ``expression_values``, ``expression_names``."""
        self._add("Put", table_name, item=item, condition_expression=condition_expression, **expressions)

    def add_update(
        self,
        table_name: str,
        key: Mapping[str, Any],
        update_expression: str,
        expression_values: Mapping[str, Any] | None = None,
        condition_expression: str | None = None,
        **expressions: Any,
    ) -> None:
        """Change an item, making it if it is not there. ``expressions``: ``expression_names``."""
        self._add(
            "Update",
            table_name,
            key=key,
            update_expression=update_expression,
            expression_values=expression_values,
            condition_expression=condition_expression,
            **expressions,
        )

    def add_delete(
        self, table_name: str, key: Mapping[str, Any], condition_expression: str | None = None, **expressions: Any
    ) -> None:
        """Remove an item. ``expressions``: ``expression_values``, ``expression_names``."""
        self._add("Delete", table_name, key=key, condition_expression=condition_expression, **expressions)

    def add_condition_check(
        self, table_name: str, key: Mapping[str, Any], condition_expression: str, **expressions: Any
    ) -> None:
        """Demand something of an item that is not written. ``expressions``: ``expression_values``, ``expression_names``."""
        self._add("ConditionCheck", table_name, key=key, condition_expression=condition_expression, **expressions)

    def _add(self, kind: str, table_name: str, **parameters: Any) -> None:
        if self._ended:
            raise ConflictError(f"this transaction is {self._ended}", hint="a TransactionManager is good for one transaction")
        # as it is now: what the caller does with it before the commit is another matter
        given = {name: copy.deepcopy(value) for name, value in parameters.items() if value is not None}
        self.operations.append({"type": kind, "table": table_name, **given})

    async def commit(self) -> None:
        """Do all of it, once. Raises ``TransactionCancelled``, ``OutcomeUnknown``, ``InputError``."""
        if self._ended:
            raise ConflictError(f"this transaction is {self._ended}")
        self._sent = True
        try:
            await self.db.transaction_write(self.operations, token=self.token)
        except OutcomeUnknown:
            raise
        except Exception:
            self._end("over: it was refused")
            raise
        self._end("committed")

    async def rollback(self) -> None:
        """Drop all of it. After a commit there is nothing to drop."""
        if not self._ended:
            self._end("rolled back")

    def _end(self, how: str) -> None:
        self._ended = how
        self.operations = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            await self.rollback()
        elif not self._sent and not self._ended:
            await self.commit()
