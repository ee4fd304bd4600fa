"""The conformance suite of storage: what every driver of ``manor.storage`` promises.

A driver's test module subclasses ``StoreSuite`` and brings the fixture ``store``, an empty store for each test. Needs pytest
and pytest-asyncio.
"""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from manor.errors import Code, ConflictError, InputError, ManorError, NotFoundError
from manor.storage import Found, Store

MEBIBYTE = 1024 * 1024
LARGE_BYTES = 40 * MEBIBYTE + 123
"""More than two parts of an upload."""
HELD_BYTES = 48 * MEBIBYTE
"""What Python may hold at a time while a large object passes, in either direction."""

BAD_KEYS = [
    *("", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", ".hidden", "a/.incoming/b"),
    *("a\\b", "a\nb", "a\x00b", "a%2e", "a?b", "a#b", "x" * 256, "/".join(["y" * 200] * 5), "\ud800"),
]


async def pieces(size: int, *, each: int = MEBIBYTE) -> AsyncIterator[bytes]:
    """``size`` bytes that are not all the same."""
    for start in range(0, size, each):
        length = min(each, size - start)
        yield start.to_bytes(8, "big")[:length] + bytes(max(0, length - 8))


async def broken(after: int, error: BaseException) -> AsyncIterator[bytes]:
    """Pieces that end with an error."""
    async for piece in pieces(after):
        yield piece
    raise error


async def sums(chunks: AsyncIterator[bytes]) -> tuple[int, str]:
    """Size and SHA-256 of what comes."""
    size, digest = 0, hashlib.sha256()
    async for chunk in chunks:
        size += len(chunk)
        digest.update(chunk)
    return size, digest.hexdigest()


async def keys_of(found: AsyncIterator[Found]) -> list[str]:
    """The keys of a listing, in its order."""
    return [one.key async for one in found]


class StoreSuite:
    """Subclass it, and provide the fixture ``store``."""

    @pytest.mark.parametrize("size", [0, 1, MEBIBYTE, LARGE_BYTES])
    async def test_what_was_put_is_what_comes_back(self, store: Store, size: int) -> None:
        """Size and sum are those of the content, whether it went in one piece or in parts."""
        stored = await store.put("a/object.bin", pieces(size))
        assert (stored.size, stored.sha256) == await sums(pieces(size))
        assert (stored.size, stored.sha256) == await sums(store.get("a/object.bin"))
        found = await store.head("a/object.bin")
        assert found is not None
        assert (found.key, found.size) == ("a/object.bin", size)
        assert datetime.now(UTC) - found.modified < timedelta(hours=1)

    @pytest.mark.parametrize("size", [10, LARGE_BYTES])
    async def test_a_key_that_is_taken_is_refused(self, store: Store, size: int) -> None:
        """The object that was there stays as it was, and the error names it."""
        await store.write("taken", b"first")
        with pytest.raises(ConflictError, match="taken"):
            await store.put("taken", pieces(size))
        assert await store.read("taken") == b"first"

    @pytest.mark.parametrize("size", [10, LARGE_BYTES])
    async def test_overwriting_replaces_the_whole_object(self, store: Store, size: int) -> None:
        """Where it is asked for."""
        await store.put("again", pieces(LARGE_BYTES))
        stored = await store.put("again", pieces(size), overwrite=True)
        assert await sums(store.get("again")) == (size, stored.sha256)

    @pytest.mark.parametrize("after", [0, 10, LARGE_BYTES])
    @pytest.mark.parametrize("error", [KeyError("mine"), FileNotFoundError(2, "mine"), ManorError("mine", code=Code.CORRUPT)])
    async def test_content_that_fails_leaves_nothing(self, store: Store, after: int, error: Exception) -> None:
        """The content's own error is raised, and there is no object."""
        with pytest.raises(type(error)) as raised:
            await store.put("half", broken(after, error))
        assert raised.value is error
        assert await store.head("half") is None
        assert await keys_of(store.list()) == []

    async def test_content_that_fails_leaves_the_old_object(self, store: Store) -> None:
        """An overwriting put that ends early changes nothing."""
        await store.write("kept", b"old")
        with pytest.raises(KeyError):
            await store.put("kept", broken(LARGE_BYTES, KeyError("mine")), overwrite=True)
        assert await store.read("kept") == b"old"

    async def test_a_put_that_is_cancelled_leaves_nothing(self, store: Store) -> None:
        """Cancelled while it waits for content."""
        waiting = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            async for piece in pieces(LARGE_BYTES):
                yield piece
            waiting.set()
            await asyncio.Event().wait()

        task = asyncio.create_task(store.put("cancelled", endless()))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await keys_of(store.list()) == []

    @pytest.mark.parametrize("key", BAD_KEYS, ids=lambda key: ascii(key[:20]))
    async def test_keys_that_lead_elsewhere_are_refused(self, store: Store, key: str) -> None:
        """Before anything is asked of the storage."""
        with pytest.raises(InputError):
            await store.put(key, pieces(1))
        for asked in (store.read(key), store.head(key), store.delete([key]), store.get_range(key, 0, 1)):
            with pytest.raises(InputError):
                await asked

    async def test_awkward_keys_come_back_as_they_went(self, store: Store) -> None:
        """Spaces, other scripts and characters with a meaning in URLs are nobody's business."""
        keys = sorted(["a b/c d", "日本/顧客", "a+b=c&d", "x:y@z!", "é/ü", "semi;colon,'()$"])
        for key in keys:
            await store.write(key, key.encode())
        assert await keys_of(store.list()) == keys
        for key in keys:
            assert await store.read(key) == key.encode()
        await store.delete(keys)
        assert await keys_of(store.list()) == []

    async def test_what_is_not_there_is_said(self, store: Store) -> None:
        """Reading raises with the key in the message; asking answers None; removing does not mind."""
        await store.write("there/is", b"one")
        for asked in (store.read("nothing/here"), store.get_range("nothing/here", 0, 5), sums(store.get("nothing/here"))):
            with pytest.raises(NotFoundError, match="nothing/here"):
                await asked
        assert await store.head("nothing/here") is None
        assert await store.head("there") is None
        await store.delete(["nothing/here", "there/is", "nor/this"])
        assert await keys_of(store.list()) == []

    async def test_ranges_end_with_the_object(self, store: Store) -> None:
        """Shorter at the end, empty behind it."""
        await store.write("ten", b"0123456789")
        assert await store.get_range("ten", 3, 4) == b"3456"
        assert await store.get_range("ten", 8, 100) == b"89"
        assert await store.get_range("ten", 10, 1) == b""
        assert await store.get_range("ten", 50, 5) == b""
        with pytest.raises(InputError):
            await store.get_range("ten", -1, 5)

    async def test_reading_at_once_has_a_limit(self, store: Store) -> None:
        """An object that should be small is not read into memory whatever its size."""
        await store.write("small", b"12345")
        assert await store.read("small", limit_bytes=5) == b"12345"
        with pytest.raises(ManorError) as large:
            await store.read("small", limit_bytes=4)
        assert large.value.code is Code.EXHAUSTED

    async def test_a_listing_is_in_the_order_of_keys_and_by_whole_parts(self, store: Store) -> None:
        """As S3 sorts, where ``-`` and ``.`` stand before the ``/`` of a folder and ``0`` behind it."""
        keys = ["a", "a-b", "a.b", "a/b/c", "a/b0", "a/c", "a0", "ab/c", "b"]
        keys.remove("a")  # a folder cannot also be a file
        for key in reversed(keys):
            await store.write(key, b"x")
        assert await keys_of(store.list()) == sorted(keys)
        assert await keys_of(store.list("a")) == ["a/b/c", "a/b0", "a/c"]
        assert await keys_of(store.list("a/b/")) == ["a/b/c"]
        assert await keys_of(store.list("a/b/c")) == []
        assert await keys_of(store.list("none")) == []

    async def test_a_listing_has_all_pages_and_a_prefix_is_removed_whole(self, store: Store) -> None:
        """More objects than one answer of a server holds."""
        keys = [f"many/{number:05}" for number in range(1100)]
        await asyncio.gather(store.write("other/one", b"x"), *(store.write(key, b"") for key in keys))
        assert await keys_of(store.list("many")) == keys
        assert await store.delete_prefix("many") == 1100
        assert await store.delete_prefix("many") == 0
        assert await keys_of(store.list()) == ["other/one"]

    async def test_all_of_a_store_is_never_removed_by_an_empty_prefix(self, store: Store) -> None:
        """A variable that happens to be empty is a mistake."""
        await store.write("one", b"x")
        with pytest.raises(InputError):
            await store.delete_prefix("")
        assert await store.head("one") is not None

    async def test_of_two_writers_of_a_small_object_one_wins(self, store: Store) -> None:
        """The other one is refused, and the object is the winner's."""
        outcomes = await asyncio.gather(
            *(store.write("contested", str(number).encode() * 100) for number in range(8)), return_exceptions=True
        )
        winners = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        assert all(isinstance(outcome, ConflictError) for outcome in outcomes if isinstance(outcome, BaseException))
        assert [hashlib.sha256(await store.read("contested")).hexdigest()] == [winner.sha256 for winner in winners]

    async def test_large_objects_pass_in_little_memory(self, store: Store) -> None:
        """Python holds a few parts at most, and never the object."""
        tracemalloc.start()
        try:
            await store.put("large", pieces(3 * LARGE_BYTES))
            await sums(store.get("large"))
            assert tracemalloc.get_traced_memory()[1] < HELD_BYTES
        finally:
            tracemalloc.stop()

    async def test_sweeping_disturbs_no_object(self, store: Store) -> None:
        """Objects that are there stay, and there is nothing to sweep."""
        await store.write("a/b", b"x")
        assert await store.sweep() == 0
        assert await store.read("a/b") == b"x"
