"""Transactions as batches inside one partition key, which Cosmos DB does all or nothing.

Everything is read, decided in Python, and sent with the ETag of what was read, so that the batch fails where something changed
meanwhile. One more document says that the token was used; the server removes it after ten minutes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from manor.data.documents.cosmos.codec import Document, decode_item, document_id, token_id
from manor.data.documents.cosmos.items import BatchFailed, Items, Operation, Partition
from manor.data.documents.cosmos.translating import by_status
from manor.data.documents.cosmos.writes import ROUNDS, Layout
from manor.data.documents.driver import Check, Delete, Put, Transaction, Update
from manor.data.documents.faults import CancellationReason, TokenReused, TransactionCancelled
from manor.data.documents.retrying import Retries
from manor.data.documents.writing import Outcome, outcomes, shown_key
from manor.errors import UnsupportedError

OPERATIONS = 100
"""What Cosmos DB takes in a batch."""
BATCH_BYTES = 2 * 1024 * 1024 - 64 * 1024
"""Two MiB, less room for what is around the documents."""
TOKEN_SECONDS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one operation of a transaction becomes, and how much of a batch that takes."""

    operations: tuple[Operation, ...]
    size: int = 0


class Transactor:
    """Transactions of one container."""

    def __init__(self, items: Items, layout: Layout, rounds: Retries = ROUNDS) -> None:
        self.items = items
        self.layout = layout
        self.rounds = rounds

    async def transact(self, tenant: str, transaction: Transaction) -> None:
        """Do it. Raises ``UnsupportedError`` before anything is sent where it cannot be atomic."""
        partition = self._partition(tenant, transaction)
        plain = all(_is_plain(one) for one in transaction.operations)
        token = None if plain and len(transaction.operations) == OPERATIONS else token_id(transaction.token)
        if len(transaction.operations) + (token is not None) > OPERATIONS:
            raise UnsupportedError(
                f"a transaction has {len(transaction.operations)} operations and a token; Cosmos DB takes {OPERATIONS}",
                hint="split it, or put and delete without conditions",
            )
        for attempt in range(self.rounds.attempts):
            if attempt:
                await self.rounds.pause(attempt)
            if await self._attempt(tenant, partition, transaction, token):
                return
        raise _cancelled(transaction, "TransactionConflict", "others kept changing the items")

    def _partition(self, tenant: str, transaction: Transaction) -> Partition:
        partitions = [self.layout.partition(tenant, one.table, one.key) for one in transaction.operations]
        for operation, partition in zip(transaction.operations, partitions, strict=True):
            if partition != partitions[0]:
                raise UnsupportedError(
                    "with hierarchical keys a transaction stays in one partition of one table: "
                    f"{shown_key(operation.table, operation.key)} is in another",
                    hint="a container without hierarchical keys keeps all of a tenant in one",
                )
        return partitions[0]

    async def _attempt(self, tenant: str, partition: Partition, transaction: Transaction, token: str | None) -> bool:
        """Whether it is done; False where something was changed meanwhile and all must be decided anew."""
        what = ", ".join(sorted({one.table.name for one in transaction.operations}))
        found = await self._found(partition, transaction, token, what)
        if token is not None and _is_done(found.get(token), transaction):
            return True
        documents = [found.get(document_id(one.table, one.key)) for one in transaction.operations]
        currents = [None if one is None else decode_item(one["a"]) for one in documents]
        results = outcomes(transaction.operations, currents)
        steps = [
            self._step(tenant, operation, document, result)
            for operation, document, result in zip(transaction.operations, documents, results, strict=True)
        ]
        if token is not None:
            steps.append(self._token_step(tenant, partition, token, transaction))
        try:
            await self.items.batch(partition, _checked(steps), what)
        except BatchFailed as error:
            return _judge(error, transaction, what)
        return True

    async def _found(self, partition: Partition, transaction: Transaction, token: str | None, what: str) -> dict[str, Document]:
        """What there is of the items that matter, and of the token."""
        ids = [document_id(one.table, one.key) for one in transaction.operations if not _is_blind(one)]
        ids += [] if token is None else [token]
        return await self.items.by_ids(partition, ids, what) if ids else {}

    def _step(self, tenant: str, operation: Any, current: Document | None, result: Outcome) -> Step:
        if _is_blind(operation):
            document = self.layout.document(tenant, operation.table, result.item or {})
            return Step(operations=(("upsert", (document,)),), size=_size(document))
        if result.item is None:
            return self._absent(tenant, operation, current)
        document = self.layout.document(tenant, operation.table, result.item)
        if current is None:
            return Step(operations=(("create", (document,)),), size=_size(document))
        match = {"if_match_etag": current["_etag"]}
        return Step(operations=(("replace", (document["id"], document), match),), size=_size(document))

    def _absent(self, tenant: str, operation: Any, current: Document | None) -> Step:
        """The item is to be gone; where it was not there, it must still not be: made and removed, or the batch fails."""
        id_ = document_id(operation.table, operation.key)
        if current is not None:
            return Step(operations=(("delete", (id_,), {"if_match_etag": current["_etag"]}),))
        document = self.layout.document(tenant, operation.table, operation.key)
        return Step(operations=(("create", (document,)), ("delete", (id_,))), size=_size(document))

    def _token_step(self, tenant: str, partition: Partition, token: str, transaction: Transaction) -> Step:
        document: Document = {"id": token, "t": tenant, "f": transaction.fingerprint, "ttl": TOKEN_SECONDS}
        if isinstance(partition, list):
            document["g"] = partition[1]
        return Step(operations=(("create", (document,)),), size=_size(document))


def _is_blind(operation: Put | Update | Delete | Check) -> bool:
    """Whether what is there does not matter: nothing needs to be read."""
    return isinstance(operation, Put) and operation.condition is None


def _is_plain(operation: Put | Update | Delete | Check) -> bool:
    """Whether doing it twice leaves what doing it once leaves, so that no token is needed."""
    return isinstance(operation, Put | Delete) and operation.condition is None


def _is_done(found: Document | None, transaction: Transaction) -> bool:
    if found is not None and found["f"] != transaction.fingerprint:
        raise TokenReused("the token of this transaction was used for another one")
    return found is not None


def _size(document: Document) -> int:
    return len(json.dumps(document).encode())


def _checked(steps: list[Step]) -> list[Operation]:
    operations = [operation for step in steps for operation in step.operations]
    size = sum(step.size for step in steps)
    if len(operations) > OPERATIONS or size > BATCH_BYTES:
        raise UnsupportedError(
            f"the transaction takes {len(operations)} operations and {size} bytes; Cosmos DB has {OPERATIONS} and 2 MB",
            hint="make it smaller; checking or deleting an item that is not there takes two operations",
        )
    return operations


def _judge(error: BatchFailed, transaction: Transaction, what: str) -> bool:
    """False where it was a race, for which deciding again helps."""
    statuses = {status for status in error.statuses if status >= 400 and status != 424}
    if statuses <= {404, 409, 412, 449}:
        return False
    if 429 in statuses:
        raise _cancelled(transaction, "ThrottlingError", "Cosmos DB asks to slow down") from error
    raise by_status(min(statuses), what) from error


def _cancelled(transaction: Transaction, code: str, message: str) -> TransactionCancelled:
    """Nobody knows which of the operations it was, so all have the reason."""
    reasons = [CancellationReason(code=code, message=message)] * len(transaction.operations)
    return TransactionCancelled(reasons, table_names=[one.table.name for one in transaction.operations])
