"""What is asked of the container, item by item and in batches. The only module that calls the SDK about items."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeAlias

from azure.core import MatchConditions
from azure.cosmos.aio import ContainerProxy
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosHttpResponseError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from manor.data.documents.cosmos.codec import Document
from manor.data.documents.cosmos.patches import Patch
from manor.data.documents.cosmos.translating import translated
from manor.data.documents.faults import OutcomeUnknown

Partition: TypeAlias = str | list[str]
Operation: TypeAlias = tuple[Any, ...]

OWNER_MISSING = 1003
"""Sub-status of 404 where not the item but the container is missing."""


class BatchFailed(Exception):
    """Nothing of a batch was done; ``statuses`` has one for each operation, 424 for those that only went down with it."""

    def __init__(self, statuses: list[int]) -> None:
        super().__init__(str(statuses))
        self.statuses = statuses


class Items:
    """Documents of one container. ``what`` names table and key for errors."""

    def __init__(self, container: ContainerProxy) -> None:
        self.container = container

    async def read(self, partition: Partition, id_: str, what: str) -> Document | None:
        """The document, with its ``_etag``; None where there is none."""
        with translated(what):
            try:
                return await self.container.read_item(id_, partition_key=partition)
            except CosmosResourceNotFoundError as error:
                _only_item_missing(error)
                return None

    async def upsert(self, document: Document, what: str) -> None:
        """Store it, whatever was there."""
        with translated(what):
            await self.container.upsert_item(document, no_response=True)

    async def create(self, document: Document, what: str) -> bool:
        """Store it, unless there is one: then False."""
        with translated(what):
            try:
                await self.container.create_item(document, no_response=True)
            except CosmosResourceExistsError:
                return False
            return True

    async def replace(self, document: Document, etag: str, what: str) -> bool:
        """Store it in place of the one that was read; False where that has changed or gone."""
        with translated(what):
            try:
                await self.container.replace_item(
                    document["id"], document, etag=etag, match_condition=MatchConditions.IfNotModified, no_response=True
                )
            except CosmosResourceNotFoundError as error:
                _only_item_missing(error)
                return False
            except CosmosAccessConditionFailedError:
                return False
            return True

    async def delete(self, partition: Partition, id_: str, what: str, *, etag: str | None = None) -> bool:
        """Remove it; False where it is not there, or not as it was read."""
        match: dict[str, Any] = {"etag": etag, "match_condition": MatchConditions.IfNotModified} if etag else {}
        with translated(what):
            try:
                await self.container.delete_item(id_, partition_key=partition, **match)
            except CosmosResourceNotFoundError as error:
                _only_item_missing(error)
                return False
            except CosmosAccessConditionFailedError:
                return False
            return True

    async def patch(self, partition: Partition, id_: str, patch: Patch, what: str, *, answer: bool) -> Document | None:
        """The document after the PATCH, empty unless ``answer``; None where it is missing or the predicate does not hold."""
        with translated(what):
            try:
                found = await self.container.patch_item(
                    id_, partition, patch.operations, filter_predicate=patch.predicate, no_response=not answer
                )
            except CosmosResourceNotFoundError as error:
                _only_item_missing(error)
                return None
            except CosmosAccessConditionFailedError:
                return None
            return found or {}

    async def batch(self, partition: Partition, operations: Sequence[Operation], what: str) -> None:
        """All of them or none. Raises ``BatchFailed``."""
        with translated(what):
            try:
                await self.container.execute_item_batch(operations, partition)
            except CosmosBatchOperationError as error:
                raise BatchFailed([int(one["statusCode"]) for one in error.operation_responses]) from error

    async def pages(
        self, partition: Partition, text: str, parameters: list[dict[str, Any]], what: str, *, size: int
    ) -> AsyncIterator[list[Any]]:
        """What a query of one partition finds, page by page, at most ``size`` in each."""
        found = self.container.query_items(text, parameters=parameters, partition_key=partition, max_item_count=size).by_page()
        while True:
            with translated(what):
                try:
                    page = [row async for row in await anext(found)]
                except StopAsyncIteration:
                    return
            yield page

    async def by_ids(self, partition: Partition, ids: Sequence[str], what: str) -> dict[str, Document]:
        """Those documents of one partition that there are, by id."""
        if len(ids) == 1:
            document = await self.read(partition, ids[0], what)
            return {} if document is None else {ids[0]: document}
        parameters = [{"name": "@ids", "value": list(ids)}]
        pages = self.pages(partition, "SELECT * FROM c WHERE ARRAY_CONTAINS(@ids, c.id)", parameters, what, size=len(ids))
        return {document["id"]: document async for page in pages for document in page}

    async def each(self, calls: Sequence[Any]) -> list[Any]:
        """Await all of them, then raise an error if there was one, rather ``OutcomeUnknown``: none is left running behind."""
        results = await asyncio.gather(*calls, return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        if errors:
            raise next((error for error in errors if isinstance(error, OutcomeUnknown)), errors[0])
        return results


def _only_item_missing(error: CosmosHttpResponseError) -> None:
    if error.sub_status == OWNER_MISSING:
        raise error
