"""What changes in a table of tenants while somebody works on it.

The operating system says when something was written; besides, the file is looked at from time to time, because network file
systems do not. A version is read once nobody has written to it for a moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from watchfiles import Change, awatch

from manor.control.registry.sheets.tables import Version
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import ConflictError, InputError, ManorError

_STEP_MS = 50
_LOOK_MS = 1_000
_BEING_WRITTEN = Version(inode=-1, size=-1, modified_ns=-1)
"""Is no file's version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetChange:
    """What one version of the file changed: ids of tenants, each sorted."""

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    error: ManorError | None = None
    """Why this version cannot be read; then nothing else is known."""


class Watched(Protocol):
    """The source whose file is watched."""

    def iter_tenants(self) -> AsyncIterator[TenantInfo]: ...
    def version(self) -> Version: ...
    async def settled_version(self) -> Version: ...


async def watch_sheet(source: Watched, path: Path, settle_seconds: float) -> AsyncIterator[SheetChange]:
    """First all tenants as added, then change by change; one that leaves them all as they are is passed over.

    Raises what reading the first version does.
    """
    known: Version | None = await source.settled_version()
    before = await _digests(source)
    yield _difference({}, before)
    async with aclosing(_ticks(path)) as ticks:
        async for _ in ticks:
            try:
                version = await _settled(source, settle_seconds)
                if version == known:
                    continue
                known, after = version, await _digests(source)
            except ConflictError:
                known = _BEING_WRITTEN
            except ManorError as error:
                yield SheetChange(error=error)
            else:
                if (change := _difference(before, after)) != SheetChange():
                    yield change
                before = after


async def _ticks(path: Path) -> AsyncGenerator[object]:
    """Whenever something happens to the file, and from time to time."""

    def is_meant(_: Change, changed: str) -> bool:
        return Path(changed).name == path.name

    # The folder, because most programs put a new file in the old one's place.
    folder = path.parent
    async for changes in awatch(
        folder, watch_filter=is_meant, step=_STEP_MS, rust_timeout=_LOOK_MS, yield_on_timeout=True, recursive=False
    ):
        yield changes


async def _settled(source: Watched, settle_seconds: float) -> Version | None:
    """None where there is no file, also a moment later: some programs remove the old one before they write the new one."""
    for _ in range(2):
        try:
            return await source.settled_version()
        except InputError:
            await asyncio.sleep(settle_seconds)
    return None


async def _digests(source: Watched) -> dict[str, int]:
    """Something short of each tenant, by id: nobody has to hold all of two versions."""
    return {info.tenant_id: hash(info.model_dump_json()) async for info in source.iter_tenants()}


def _difference(before: Mapping[str, int], after: Mapping[str, int]) -> SheetChange:
    return SheetChange(
        added=tuple(sorted(after.keys() - before.keys())),
        changed=tuple(sorted(key for key, digest in after.items() if before.get(key, digest) != digest)),
        removed=tuple(sorted(before.keys() - after.keys())),
    )
