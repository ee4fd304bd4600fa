"""What tests of the engine say to a server themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg


async def ask(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements one by one; the rows of the last."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = await connection.execute(statement.encode())
        return await cursor.fetchall() if cursor.description else []


async def once(content: bytes) -> AsyncIterator[bytes]:
    """A stream of one chunk."""
    yield content
