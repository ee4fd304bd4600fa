"""What psql is fed with when it loads a dump."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from manor.control.engines.postgres.psql_input import in_transaction, without_own_restriction

DUMP = b"--\n\n\\restrict aB3\nSELECT 1;\nCOPY t FROM stdin;\n\\N\n\\.\n\n\\unrestrict aB3\n\n"


async def pieces(text: bytes, size: int) -> AsyncIterator[bytes]:
    """``text`` in pieces of ``size`` bytes."""
    for start in range(0, len(text), size):
        yield text[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_dump_loses_its_own_restriction_and_nothing_else(size: int) -> None:
    """However it is cut into pieces."""
    left = b"".join([piece async for piece in without_own_restriction(pieces(DUMP, size))])
    assert left == DUMP.replace(b"\\restrict aB3\n", b"").replace(b"\\unrestrict aB3\n", b"")


@pytest.mark.parametrize("size", [10_000, 100_000])
async def test_the_end_of_a_long_dump_is_found_too(size: int) -> None:
    """Rows that look alike stay what they are."""
    rows = b"\\restrict other\n\\\\unrestrict aB3\n" * 10_000
    left = b"".join([piece async for piece in without_own_restriction(pieces(DUMP.replace(b"\\N\n", rows), size))])
    assert left == b"--\n\nSELECT 1;\nCOPY t FROM stdin;\n" + rows + b"\\.\n\n\n"


async def test_the_word_that_ends_the_restriction_is_another_each_time() -> None:
    """No dump can know it."""
    first, second = [await anext(in_transaction(pieces(DUMP, 10))) for _ in range(2)]
    assert first.startswith(b"\\restrict ")
    assert first.splitlines()[0] != second.splitlines()[0]
