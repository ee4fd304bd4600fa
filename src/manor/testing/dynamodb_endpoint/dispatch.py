"""From the name of an operation to its answer. Whatever goes wrong is an error of the service's kinds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from manor.errors import ManorError
from manor.testing.dynamodb_endpoint import batches, items, policies, reads, statements, tables, transactions
from manor.testing.dynamodb_endpoint.capacity import check_wanted
from manor.testing.dynamodb_endpoint.describing import Place
from manor.testing.dynamodb_endpoint.faults import WireError, beyond, invalid, wire_error
from manor.testing.dynamodb_endpoint.store import Definitions

Request = Mapping[str, Any]
Answer = dict[str, Any]

DATA: dict[str, Callable[[Definitions, Request], Awaitable[Answer]]] = {
    "BatchExecuteStatement": statements.batch_execute_statement,
    "BatchGetItem": batches.batch_get_item,
    "BatchWriteItem": batches.batch_write_item,
    "DeleteItem": items.delete_item,
    "ExecuteStatement": statements.execute_statement,
    "ExecuteTransaction": statements.execute_transaction,
    "GetItem": items.get_item,
    "PutItem": items.put_item,
    "Query": reads.query,
    "Scan": reads.scan,
    "TransactGetItems": transactions.transact_get_items,
    "TransactWriteItems": transactions.transact_write_items,
    "UpdateItem": items.update_item,
}
TABLES: dict[str, Callable[[Definitions, Request, Place], Awaitable[Answer]]] = {
    "CreateTable": tables.create_table,
    "DeleteResourcePolicy": policies.delete_resource_policy,
    "DeleteTable": tables.delete_table,
    "DescribeContinuousBackups": tables.describe_continuous_backups,
    "DescribeLimits": tables.describe_limits,
    "DescribeTable": tables.describe_table,
    "DescribeTimeToLive": tables.describe_time_to_live,
    "ExportTableToPointInTime": tables.export_table,
    "GetResourcePolicy": policies.get_resource_policy,
    "ImportTable": tables.import_table,
    "ListTables": tables.list_tables,
    "ListTagsOfResource": tables.list_tags_of_resource,
    "PutResourcePolicy": policies.put_resource_policy,
    "TagResource": tables.tag_resource,
    "UntagResource": tables.untag_resource,
    "UpdateContinuousBackups": tables.update_continuous_backups,
    "UpdateTable": tables.update_table,
    "UpdateTimeToLive": tables.update_time_to_live,
}
_COUNTED = {"PutItem", "UpdateItem", "DeleteItem"}
"""Operations whose complaints about the request alone are counted in front."""


class Service:
    """Answers requests for the tables of one store. Requests that make or change tables come one after another."""

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self._alone = asyncio.Lock()

    async def answer(self, operation: str, request: Request, place: Place) -> Answer:
        """The answer. Raises ``WireError`` and nothing else on purpose."""
        try:
            return await self._answer(operation, request, place)
        except WireError as error:
            if error.static and operation in _COUNTED and not error.message.startswith("1 validation"):
                error.message = f"1 validation error detected: {error.message}"
            raise
        except ManorError as error:
            raise wire_error(error, show_item=request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD") from error
        except RecursionError as error:
            raise invalid("Nesting Levels have exceeded supported limits") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise _misshapen(error) from error

    async def _answer(self, operation: str, request: Request, place: Place) -> Answer:
        if operation in DATA:
            check_wanted(request)
            return await DATA[operation](self.definitions, request)
        if operation not in TABLES:
            raise beyond(operation or "an operation without a name")
        async with self._alone:
            return await TABLES[operation](self.definitions, request, place)


def _misshapen(error: Exception) -> WireError:
    """SDKs check the shape of requests before they send them; whoever writes them by hand is told the first fault."""
    told = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else "a value is of another kind"
    return WireError("SerializationException", f"the request is not of the operation's shape: {told}")
