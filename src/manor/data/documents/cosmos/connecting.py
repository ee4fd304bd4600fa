"""Where the documents are, and what there is while a store is open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from azure.cosmos.aio import CosmosClient

from manor.data.documents.closing import Requests
from manor.data.documents.cosmos.items import Items
from manor.data.documents.cosmos.registering import Register
from manor.data.documents.cosmos.transactions import Transactor
from manor.data.documents.cosmos.translating import translated
from manor.data.documents.cosmos.wire import make_client
from manor.data.documents.cosmos.writes import Layout, Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the documents are. ``hierarchical`` is about how the container is made: it cannot be changed later."""

    endpoint: str
    database: str
    container: str
    hierarchical: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What there is between ``open`` and ``close``."""

    client: CosmosClient
    requests: Requests
    items: Items
    register: Register
    writer: Writer
    transactor: Transactor

    async def close(self) -> None:
        """Wait for the requests that are under way, and close the client."""
        try:
            await self.requests.end()
        finally:
            await self.client.close()


async def connect(address: Address, credentials: Mapping[str, str] | None, layout: Layout, *, connections: int) -> Opened:
    """Read what regions the account has. Raises what ``translated`` does, and ``InputError`` for credentials."""
    requests = Requests()
    client = make_client(address.endpoint, credentials, requests, connections=connections)
    try:
        with translated(f"account {address.endpoint}"):
            await client.__aenter__()
    except BaseException:
        await client.close()
        raise
    items = Items(client.get_database_client(address.database).get_container_client(address.container))
    return Opened(
        client=client,
        requests=requests,
        items=items,
        register=Register(client, address.database, address.container, items, layout),
        writer=Writer(items, layout),
        transactor=Transactor(items, layout),
    )
