"""The envelope of backups."""

from __future__ import annotations

import asyncio
import gc
import random
import subprocess
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pyrage
import pytest

from manor.control.backup.envelope import Identity, decrypting, encrypting, new_identity, recipient_of
from manor.errors import Code, InputError, ManorError

MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def mine() -> Identity:
    return new_identity()


async def cut(content: bytes, sizes: list[int]) -> AsyncIterator[bytes]:
    """``content`` in pieces of these sizes, over and over."""
    start = turn = 0
    while start < len(content):
        size = sizes[turn % len(sizes)]
        yield content[start : start + size]
        start, turn = start + size, turn + 1


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def sealed(content: bytes, identity: Identity) -> bytes:
    made: bytes = pyrage.encrypt(content, [pyrage.x25519.Recipient.from_str(identity.recipient)])
    return made


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "manor-envelope"]


@pytest.mark.parametrize("sizes", [[1 << 20], [7, 65536, 1, 0, 100_003]], ids=["even", "odd"])
@pytest.mark.parametrize("size", [0, 1, 65536, 10 * MEBIBYTE])
async def test_what_was_encrypted_comes_back(mine: Identity, size: int, sizes: list[int]) -> None:
    """Whatever its size and however it is cut, and it is not readable in between."""
    content = random.Random(size).randbytes(size)
    closed = await whole(encrypting(cut(content, sizes), [mine.recipient]))
    assert closed.startswith(b"age-encryption.org/v1\n")
    assert size < 65536 or content[1000:1100] not in closed
    assert await whole(decrypting(cut(closed, sizes), mine.secret)) == content
    assert threads() == []


async def test_the_format_is_ages_own(mine: Identity) -> None:
    """The library's plain functions read what we write, and the other way round."""
    closed = await whole(encrypting(cut(b"content", [3]), [mine.recipient]))
    assert pyrage.decrypt(closed, [pyrage.x25519.Identity.from_str(mine.secret)]) == b"content"
    assert await whole(decrypting(cut(sealed(b"content", mine), [5]), mine.secret)) == b"content"


async def test_the_program_age_opens_it(mine: Identity, tmp_path: Path, require: Callable[[str], Path]) -> None:
    """Without Manor."""
    age = require("age") / "age"
    content = random.Random(1).randbytes(MEBIBYTE)
    (tmp_path / "file").write_bytes(await whole(encrypting(cut(content, [1000]), [mine.recipient])))
    (tmp_path / "key").write_text(mine.secret + "\n", encoding="utf-8")
    (tmp_path / "key").chmod(0o600)
    command = [age, "--decrypt", "--identity", tmp_path / "key", tmp_path / "file"]
    opened = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True)
    assert opened.stdout == content


async def test_each_of_several_recipients_can_open_it(mine: Identity) -> None:
    """The tenant, and an escrow key."""
    other = new_identity()
    closed = await whole(encrypting(cut(b"content", [7]), [mine.recipient, other.recipient]))
    for identity in (mine, other):
        assert await whole(decrypting(cut(closed, [7]), identity.secret)) == b"content"


async def test_a_cut_file_is_noticed_wherever_it_was_cut(mine: Identity) -> None:
    """Also where a chunk of the format ends."""
    closed = sealed(random.Random(2).randbytes(200_000), mine)
    payload = closed.index(b"\n", closed.index(b"\n--- ") + 1) + 1
    chunk = 65536 + 16
    ends = [payload, payload + 16, *(payload + 16 + chunk * n for n in (1, 2, 3)), len(closed) - 1]
    for end in sorted({*range(0, payload + 40, 3), *range(payload, len(closed), 9973), *ends}):
        with pytest.raises(ManorError) as caught:
            await whole(decrypting(cut(closed[:end], [50_000]), mine.secret, what="tenant 001's dump"))
        assert caught.value.code in {Code.CORRUPT, Code.DENIED}, end
        assert "tenant 001's dump" in caught.value.message
        assert caught.value.hint


async def test_one_bit_is_noticed_wherever_it_is(mine: Identity) -> None:
    """In the head, in the sum of the head, in the content, at the end."""
    closed = sealed(random.Random(3).randbytes(150_000), mine)
    for position in sorted({*range(0, 260, 7), *range(260, len(closed), 7919), len(closed) - 1}):
        altered = bytearray(closed)
        altered[position] ^= 1
        with pytest.raises(ManorError) as caught:
            await whole(decrypting(cut(bytes(altered), [50_000]), mine.secret))
        assert caught.value.code in {Code.CORRUPT, Code.DENIED}, position
    with pytest.raises(ManorError):
        await whole(decrypting(cut(closed + b"x", [50_000]), mine.secret))


async def test_another_tenants_key_is_denied_without_a_word_of_it(mine: Identity) -> None:
    """Neither secret stands in the error."""
    other = new_identity()
    with pytest.raises(ManorError, match="tenant 001's dump does not open") as caught:
        await whole(decrypting(cut(sealed(b"content", mine), [100]), other.secret, what="tenant 001's dump"))
    assert caught.value.code is Code.DENIED
    assert "AGE-SECRET-KEY-" not in f"{caught.value!r} {caught.value.hint}"


async def test_what_is_no_key_is_refused_and_a_secret_is_not_repeated(mine: Identity) -> None:
    """Before anything is read."""
    assert recipient_of(mine.secret) == mine.recipient
    assert mine.secret not in repr(mine)
    with pytest.raises(InputError) as caught:
        await whole(decrypting(cut(b"", [1]), mine.secret[:-1]))
    assert mine.secret[:-1] not in f"{caught.value!r} {caught.value.hint}"
    for recipients in ([], ["age1nonsense"], [mine.secret]):
        with pytest.raises(InputError) as caught:
            await whole(encrypting(cut(b"", [1]), recipients))
        assert mine.secret not in f"{caught.value!r} {caught.value.hint}"


@pytest.mark.parametrize("before", [0, 10, MEBIBYTE])
async def test_an_error_of_the_source_is_raised_as_it_is(mine: Identity, before: int) -> None:
    """In both directions, at any place."""
    error = ManorError("pg_dump failed", code=Code.UNREACHABLE)

    async def failing(content: bytes) -> AsyncIterator[bytes]:
        yield content[:before]
        raise error

    closed = sealed(bytes(2 * MEBIBYTE), mine)
    for stream in (encrypting(failing(bytes(2 * MEBIBYTE)), [mine.recipient]), decrypting(failing(closed), mine.secret)):
        with pytest.raises(ManorError) as caught:
            await whole(stream)
        assert caught.value is error
    assert threads() == []


@pytest.mark.parametrize("taken", [1, 5])
async def test_a_consumer_that_stops_early_ends_the_thread_and_frees_the_source(mine: Identity, taken: int) -> None:
    """The source can be closed at once; nothing is running in it any more."""
    source = cut(bytes(40 * MEBIBYTE), [MEBIBYTE])
    stream = encrypting(source, [mine.recipient])
    for _ in range(taken):
        assert await anext(stream)
    await stream.aclose()
    await source.aclose()  # type: ignore[attr-defined]
    assert threads() == []


async def test_a_consumer_that_is_cancelled_while_the_source_waits(mine: Identity) -> None:
    """The wait in the source is cancelled too, before the stream is over."""
    waiting, left = asyncio.Event(), asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            waiting.set()
            await asyncio.Event().wait()
        finally:
            left.set()

    async def consume() -> None:
        async with aclosing(encrypting(stuck(), [mine.recipient])) as stream:
            await whole(stream)

    task = asyncio.create_task(consume())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left.is_set()
    assert threads() == []


async def test_a_stream_that_was_never_begun_costs_nothing(mine: Identity) -> None:
    """No thread, no read."""
    stream = encrypting(cut(b"x", [1]), [mine.recipient])
    await stream.aclose()
    assert threads() == []


async def test_more_streams_than_a_pool_has_threads_do_not_wait_for_each_other(mine: Identity) -> None:
    """Streams within streams, all at once."""
    content = random.Random(4).randbytes(300_000)

    async def there_and_back() -> bytes:
        closed = encrypting(cut(content, [50_000]), [mine.recipient])
        return await whole(decrypting(closed, mine.secret))

    assert set(await asyncio.gather(*(there_and_back() for _ in range(60)))) == {content}
    assert threads() == []


async def test_long_streams_pass_in_little_memory(mine: Identity) -> None:
    """Python holds some pieces, and never the file."""

    async def long() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield bytes(MEBIBYTE)

    gc.collect()
    tracemalloc.start()
    try:
        size = 0
        async for piece in decrypting(encrypting(long(), [mine.recipient]), mine.secret):
            size += len(piece)
        assert size == 64 * MEBIBYTE
        assert tracemalloc.get_traced_memory()[1] < 12 * MEBIBYTE
    finally:
        tracemalloc.stop()


async def test_a_slow_consumer_holds_the_source_back(mine: Identity) -> None:
    """What nobody takes is not read."""
    read = 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(200):
            read += 1
            yield bytes(MEBIBYTE)

    async with aclosing(encrypting(counted(), [mine.recipient])) as stream:
        await anext(stream)
        assert read < 10
