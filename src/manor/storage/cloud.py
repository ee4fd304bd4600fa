"""S3, Google Cloud Storage and Azure through obstore, and its store in memory for tests.

A large object is uploaded in parts, which the server puts together at the end, so a killed writer leaves no object (its parts
stay until the bucket's lifecycle rule removes them). A small one is refused by the server itself if its key is taken; for a
large one the library has no such request, so it is looked for before the first part and again before they are put together.

Only the library's blocking functions are called, in threads: after its asynchronous ones, a thread of its runtime may still
want the interpreter when that is ending, and one process in seven was aborted at its exit (obstore 0.12.1, CPython 3.11).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store

from manor.errors import InputError, ManorError
from manor.storage import faults
from manor.storage.driver import Found
from manor.storage.location import Location, Scheme, allows_http
from manor.storage.threads import Pull, in_thread

_Result = TypeVar("_Result")

_PART_BYTES = 16 * 1024 * 1024
"""S3 takes 10,000 parts: objects of up to 156 GiB."""
_PARTS_AT_ONCE = 2
_SMALL_BYTES = 8 * 1024 * 1024
"""Up to here an object goes in one request."""
_PIECE_BYTES = 1024 * 1024
_PAGE = 1000
_RETRIES = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}
# The whole of a request has no limit, since a large object may take hours; silence has one.
_CLIENT = {"connect_timeout": timedelta(seconds=10), "read_timeout": timedelta(seconds=60), "timeout": timedelta(days=7)}
_NAMES = {
    Scheme.S3: {},
    Scheme.GS: {"endpoint": "base_url"},
    Scheme.AZ: {"account": "account_name"},
}

_STATUS = re.compile(r"status code: (\d{3})")
_ERROR_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_REFUSALS = frozenset({"HTTP 401", "HTTP 403", "AccessDenied"})
_NO_CONTAINER = frozenset({"NoSuchBucket", "ContainerNotFound"})
_NO_ANSWER = re.compile(r"error sending request|HTTP error|timed out|connection|dns", re.IGNORECASE)
_NO_CREDENTIALS = re.compile(r"credential|instance metadata|169\.254\.|token", re.IGNORECASE)


def open_cloud(place: Location) -> CloudDriver:
    """The driver for a location that is no folder. Raises ``InputError`` where the library cannot use its options."""
    try:
        return CloudDriver(place, _open(place))
    except (exceptions.BaseError, ValueError) as error:
        hint = "an az:// location needs ?account=NAME or AZURE_STORAGE_ACCOUNT_NAME" if place.scheme is Scheme.AZ else ""
        raise InputError(f"the storage location {place} cannot be used", hint=hint or "check its options") from error


def _open(place: Location) -> Any:
    if place.scheme is Scheme.MEMORY:
        return MemoryStore()
    names = _NAMES[place.scheme]
    options = {names.get(name, name): value for name, value in place.options.items() if name != "allow_http"}
    kind: Any = {Scheme.S3: S3Store, Scheme.GS: GCSStore, Scheme.AZ: AzureStore}[place.scheme]
    client = {**_CLIENT, "allow_http": allows_http(place.options)}
    return kind(place.container, prefix=place.prefix or None, config=options, client_options=client, retry_config=_RETRIES)


class CloudDriver:
    """``Driver`` for one bucket and prefix."""

    def __init__(self, place: Location, store: Any) -> None:
        self._location = place
        self._store = store

    async def put(self, key: str, chunks: AsyncIterator[bytes], *, overwrite: bool) -> None:
        """See ``Driver.put``."""
        first, is_all = await _beginning(chunks)
        if is_all:
            mode: Any = "overwrite" if overwrite else "create"
            await self._run(key, partial(obstore.put, self._store, key, first, mode=mode, use_multipart=False))
            return
        await self._refuse_taken(key, overwrite)
        parts = Pull(self._guarded(key, first, chunks, overwrite))
        del first
        async with self._errors(key):
            await parts.while_taken(partial(self._upload, key, parts))

    async def get(self, key: str) -> AsyncIterator[bytes]:
        """See ``Driver.get``."""
        stream = await self._run(key, lambda: obstore.get(self._store, key).stream(min_chunk_size=_PIECE_BYTES))
        while (piece := await self._run(key, partial(next, stream, None))) is not None:
            yield bytes(piece)

    async def get_range(self, key: str, start: int, length: int) -> bytes:
        """See ``Driver.get_range``."""
        try:
            return await self._run(key, lambda: bytes(obstore.get_range(self._store, key, start=start, length=length)))
        except ManorError:
            found = await self.head(key)
            if found is None or start < found.size:
                raise
        return b""

    async def head(self, key: str) -> Found | None:
        """See ``Driver.head``."""
        return await self._run(key, lambda: _head(self._store, key))

    async def list(self, prefix: str) -> AsyncIterator[Found]:
        """See ``Driver.list``. The order is the server's, which for these is the order of the keys' bytes."""
        pages = obstore.list(self._store, prefix or None, chunk_size=_PAGE)
        while (page := await self._run(prefix, partial(next, pages, None))) is not None:
            for meta in page:
                yield _found(meta)

    async def delete(self, keys: Sequence[str]) -> None:
        """See ``Driver.delete``."""
        if keys:
            await self._run(keys[0], lambda: _delete(self._store, keys))

    async def sweep(self) -> int:
        """See ``Driver.sweep``: parts of dead uploads are the bucket's lifecycle rule's."""
        return 0

    def _upload(self, key: str, parts: Pull) -> None:
        obstore.put(self._store, key, parts, use_multipart=True, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)

    async def _refuse_taken(self, key: str, overwrite: bool) -> None:
        if not overwrite and await self.head(key) is not None:
            raise faults.exists(self._place(key))

    async def _guarded(self, key: str, first: bytes, chunks: AsyncIterator[bytes], overwrite: bool) -> AsyncIterator[bytes]:
        yield first
        del first
        async for chunk in chunks:
            yield chunk
        await self._refuse_taken(key, overwrite)

    async def _run(self, key: str, work: Callable[[], _Result]) -> _Result:
        async with self._errors(key):
            return await in_thread(work)

    def _place(self, key: str) -> str:
        return f"{self._location}/{key}"

    @asynccontextmanager
    async def _errors(self, key: str) -> AsyncIterator[None]:
        """The one place that knows the library's exceptions. Their text is not passed on: a URL in it can hold a signature."""
        try:
            yield
        except (exceptions.BaseError, FileNotFoundError) as error:
            raise _translated(error, self._place(key)) from None


async def _beginning(chunks: AsyncIterator[bytes]) -> tuple[bytes, bool]:
    """As much as goes in one request, and whether that is all."""
    first = bytearray()
    async for chunk in chunks:
        first += chunk
        if len(first) >= _SMALL_BYTES:
            return bytes(first), False
    return bytes(first), True


def _head(store: Any, key: str) -> Found | None:
    try:
        return _found(obstore.head(store, key))
    except FileNotFoundError:
        return None


def _delete(store: Any, keys: Sequence[str]) -> None:
    """Google and Azure name one object that was not there, and say nothing of the others: then one by one."""
    try:
        obstore.delete(store, list(keys))
    except FileNotFoundError:
        for key in keys:
            with suppress(FileNotFoundError):
                obstore.delete(store, key)


def _found(meta: Any) -> Found:
    return Found(key=meta["path"], size=meta["size"], modified=meta["last_modified"])


def _translated(error: Exception, place: str) -> ManorError:
    text = str(error)
    status = _STATUS.search(text)
    code = _ERROR_CODE.search(text)
    reason = code[1] if code else (f"HTTP {status[1]}" if status else "")
    if reason in _NO_CONTAINER:
        return faults.no_container(place)
    if isinstance(error, FileNotFoundError):
        return faults.missing(place)
    if isinstance(error, exceptions.AlreadyExistsError | exceptions.PreconditionError):
        return faults.exists(place)
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError) or reason in _REFUSALS:
        return faults.denied(place, reason)
    return _without_class(text, place, reason, int(status[1]) if status else 0)


def _without_class(text: str, place: str, reason: str, status: int) -> ManorError:
    """For what the library has no class of its own."""
    if not status and _NO_CREDENTIALS.search(text):
        return faults.denied(place, "no credentials were found")
    if status >= 500 or status == 429 or (not status and _NO_ANSWER.search(text)):
        return faults.unreachable(place, reason)
    return faults.failed(place, reason or "the library gives no reason")
