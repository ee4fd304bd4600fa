"""Storage on S3, against a server that speaks its protocol over HTTP."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from manor.errors import ManorError, NotFoundError, UnreachableError
from manor.storage import Store, open_store
from manor.testing.storage import LARGE_BYTES, StoreSuite, broken, pieces

from .conftest import S3Server

numbers = itertools.count(1)

WRITER = """
import asyncio, sys
from manor.storage import open_store

async def endless():
    for _ in range(60):  # more than two parts, so that some were sent
        yield bytes(1024 * 1024)
    print("under way", flush=True)
    await asyncio.Event().wait()

asyncio.run(open_store(sys.argv[1]).put("killed/object", endless()))
"""

ONE_WRITE = """
import asyncio, sys
from manor.storage import open_store

asyncio.run(open_store(sys.argv[1]).write(sys.argv[2], b"x"))
"""


def location(server: S3Server, bucket: str, prefix: str = "some/prefix") -> str:
    return f"s3://{bucket}/{prefix}?endpoint={server.endpoint}&allow_http=true&region=us-east-1"


@pytest.fixture
def bucket(s3_server: S3Server, s3_environment: None) -> str:
    name = f"bucket-{next(numbers)}"
    s3_server.make_bucket(name)
    return name


@pytest.fixture
def store(s3_server: S3Server, bucket: str) -> Store:
    return open_store(location(s3_server, bucket))


class TestS3Store(StoreSuite):
    """The suite, over HTTP."""


async def test_two_prefixes_of_a_bucket_do_not_see_each_other(s3_server: S3Server, bucket: str) -> None:
    """Neither does a prefix that is longer by some letters."""
    for prefix in ("one", "one-more", ""):
        await open_store(location(s3_server, bucket, prefix)).write("key", prefix.encode())
    store = open_store(location(s3_server, bucket, "one"))
    assert [found.key async for found in store.list()] == ["key"]
    assert await store.read("key") == b"one"
    assert store.display("key") == f"s3://{bucket}/one/key"


async def test_a_put_that_fails_takes_its_parts_along(s3_server: S3Server, bucket: str, store: Store) -> None:
    """Nothing that costs money stays behind in the bucket."""
    with pytest.raises(KeyError):
        await store.put("half", broken(LARGE_BYTES, KeyError("mine")))
    assert "<UploadId>" not in s3_server.uploads(bucket)


async def test_somebody_who_stores_a_large_object_meanwhile_is_not_overwritten(store: Store) -> None:
    """The key is looked for again before the parts are put together."""

    async def slow() -> AsyncIterator[bytes]:
        async for piece in pieces(LARGE_BYTES):
            yield piece
        await store.write("large", b"theirs")

    with pytest.raises(ManorError, match="is there already"):
        await store.put("large", slow())
    assert await store.read("large") == b"theirs"


def kill_in_the_middle(*arguments: str) -> None:
    """``kill -9`` for a writer that has sent some parts."""
    with subprocess.Popen([sys.executable, "-c", WRITER, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "under way\n"
        process.send_signal(signal.SIGKILL)


async def test_a_killed_writer_leaves_no_object(s3_server: S3Server, bucket: str, store: Store) -> None:
    """Its parts are no object, and go by the bucket's own rule."""
    await asyncio.to_thread(kill_in_the_middle, location(s3_server, bucket))
    assert await store.head("killed/object") is None
    assert [found.key async for found in store.list()] == []
    assert "<UploadId>" in s3_server.uploads(bucket)


async def test_a_cancelled_put_takes_its_parts_along(s3_server: S3Server, bucket: str, store: Store) -> None:
    """As one that fails does."""
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
    assert "<UploadId>" not in s3_server.uploads(bucket)


async def test_a_bucket_that_is_not_there_is_said(s3_server: S3Server, s3_environment: None) -> None:
    """By its location, which has no options in it."""
    store = open_store(location(s3_server, "no-such-bucket"))
    with pytest.raises(NotFoundError, match="the bucket of s3://no-such-bucket/some/prefix/key does not exist"):
        await store.write("key", b"x")


async def test_a_server_that_is_away_is_transient_and_names_no_secret(s3_environment: None) -> None:
    """After the library's own attempts."""
    store = open_store("s3://bucket/p?endpoint=http://127.0.0.1:9&allow_http=true&region=us-east-1")
    with pytest.raises(UnreachableError, match="s3://bucket/p/key") as away:
        await store.head("key")
    assert away.value.transient
    assert "the-secret-of-the-tests" not in f"{away.value!r} {away.value.hint} {store!r}"
    assert away.value.__suppress_context__


def test_a_process_that_used_it_ends_as_it_should(s3_server: S3Server, bucket: str) -> None:
    """The library's runtime does not abort an interpreter that is ending; its asynchronous functions did, often."""
    for number in range(12):
        command = [sys.executable, "-c", ONE_WRITE, location(s3_server, bucket), f"key-{number}"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")
