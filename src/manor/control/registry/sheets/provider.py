"""A CSV file or a worksheet as a source of tenants.

A file of up to ``MOST_HELD`` tenants is held in memory, and read again when it has changed. A larger one is walked over each
time, in bounded memory. A file that was written a moment ago is waited for, and one that changes while it is read is read again
or, in the middle of a walk, refused: half a file never passes for the whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from manor.collector import paused_collector
from manor.control.registry.listed import ListedTenantProvider
from manor.control.registry.provider import Filters, TenantRegistryProvider
from manor.control.registry.search.filters import check_page, lets_through, search_of_filters, search_of_query
from manor.control.registry.search.predicate import Search
from manor.control.registry.sheets.header import check_columns
from manor.control.registry.sheets.settings_folder import read_settings
from manor.control.registry.sheets.tables import Version, open_table
from manor.control.registry.sheets.tenants import TableTenants
from manor.control.registry.sheets.watch import SheetChange, watch_sheet
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import ConflictError, NotFoundError
from manor.sheet_shapes import CsvSource

MOST_HELD = 20_000
"""Tenants that are held: some 30 MB."""
SETTLE_SECONDS = 0.25
"""A file that is younger may still be being written."""
BATCHES_WITHOUT_BREAK = 10
"""Some 3 ms of reading, after which others have their turn. Reading in threads would cost as much again as it takes."""
PATIENCE_SECONDS = 10.0
"""How long a file that is being written is waited for."""


class CSVTenantProvider(TenantRegistryProvider):
    """The tenants of the file ``csv_path``, CSV or XLSX by its ending; settings of each in the folder ``config_dir``.

    ``watch_changes=False`` holds on to the first version that was read. ``encoding`` and ``delimiter`` are found out where they
    are empty; ``columns`` names the column of a field (by field) where it is not called like the field; ``sheet`` is a
    worksheet's name. ``name`` is what the source is called, ``shown`` what places call the file. ``now`` gives the time as file
    systems do, in seconds.
    """

    def __init__(
        self,
        csv_path: Path | str,
        config_dir: Path | str | None = None,
        watch_changes: bool = True,
        *,
        encoding: str = "",
        delimiter: str = "",
        columns: Mapping[str, str] | None = None,
        sheet: str = "",
        name: str = "csv",
        shown: str = "",
        settle_seconds: float = SETTLE_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.csv_path = Path(csv_path)
        self.config_dir = Path(config_dir) if config_dir is not None else None
        self.watch_changes = watch_changes
        self.settle_seconds = settle_seconds
        self.passed_over: tuple[str, ...] = ()
        """Columns of the version last read that are no field of a tenant."""
        self._shown = shown or str(csv_path)
        self._format = {"encoding": encoding, "delimiter": delimiter, "sheet": sheet}
        self._columns = dict(columns or {})
        check_columns(self._columns)
        self._now = now
        self._version: Version | None = None
        self._held: ListedTenantProvider | None = None
        self._reading = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<source {self.name}: tenants of {self._shown}>"

    async def list_tenants(self, filters: Filters | None = None, offset: int = 0, limit: int = 100) -> Sequence[TenantInfo]:
        """One page."""
        check_page(offset, limit)
        search = search_of_filters(filters)
        if (held := await self._read()) is not None:
            return await held.list_tenants(filters, offset, limit)
        found: list[TenantInfo] = []
        async with aclosing(self._walk(search)) as walk:
            async for info in walk:
                if len(found) == offset + limit:
                    break
                found.append(info)
        return found[offset:]

    async def get_tenant(self, tenant_id: str) -> TenantInfo:
        """Raises ``NotFoundError``."""
        if (held := await self._read()) is not None:
            return await held.get_tenant(tenant_id)
        found = [info async for info in self._walk(None) if info.tenant_id == tenant_id]
        if not found:
            raise NotFoundError(f"source {self.name} has no tenant {tenant_id!r}")
        return found[0]

    async def get_tenant_config(self, tenant_id: str) -> Mapping[str, Any]:
        """From the folder of settings. Raises ``NotFoundError``, and ``InputError`` for a file that cannot be read."""
        await self.get_tenant(tenant_id)
        if self.config_dir is None:
            return {}
        return await asyncio.to_thread(read_settings, self.config_dir, tenant_id, str(self.config_dir))

    async def search_tenants(self, query: str) -> Sequence[TenantInfo]:
        """Raises ``InputError`` with the position of what is refused."""
        search = search_of_query(query)
        if (held := await self._read()) is not None:
            return await held.search_tenants(query)
        return [info async for info in self._walk(search)]

    async def get_tenant_count(self, filters: Filters | None = None) -> int:
        """How many there are."""
        search = search_of_filters(filters)
        if (held := await self._read()) is not None:
            return await held.get_tenant_count(filters)
        count = 0
        async for _ in self._walk(search):
            count += 1
        return count

    def iter_tenants(self, filters: Filters | None = None) -> AsyncIterator[TenantInfo]:
        """All of them, in bounded memory and without holding any.

        Raises ``ConflictError`` at the end where the file changed on the way.
        """
        return self._walk(search_of_filters(filters))

    def changes(self) -> AsyncIterator[SheetChange]:
        """What changes in the file, version by version, each once it is written; the first one tells all tenants as added.

        A version that is wrong is told with its error, and the next good one is compared with the last good one.
        """
        return watch_sheet(self, self.csv_path, self.settle_seconds)

    def version(self) -> Version:
        """The file as it is now. Raises ``InputError`` where there is none."""
        return Version.of(self.csv_path, self._shown)

    async def settled_version(self) -> Version:
        """The same, once nobody has written to it for a moment. Raises ``ConflictError`` where that does not come."""
        deadline = self._now() + PATIENCE_SECONDS
        while True:
            version = self.version()
            now = self._now()
            age = now - version.modified_ns / 1e9
            if not -1 < age < self.settle_seconds:  # a time to come is that of another machine's clock
                return version
            if now > deadline:
                raise ConflictError(f"{self._shown} is being written all the time", hint="write it aside and rename it")
            await asyncio.sleep(self.settle_seconds - age)

    # Reading

    async def _read(self) -> ListedTenantProvider | None:
        """The tenants as a list, of the newest version; None where they are too many to be held."""
        async with self._reading:
            if self._held is not None and not self.watch_changes:
                return self._held
            for _ in range(3):
                version = await self._settled()
                if version != self._version:
                    self._held = await asyncio.to_thread(self._hold)
                if version == self.version():
                    self._version = version
                    return self._held
            raise self._changed()

    async def _settled(self) -> Version:
        """The version that is to be read: without watching, the first one is the only one."""
        version = await self.settled_version()
        if not self.watch_changes and self._version not in (None, version):
            raise self._changed()
        return version

    def _hold(self) -> ListedTenantProvider | None:
        self._version = None
        found: list[TenantInfo] = []
        with paused_collector(), contextlib.closing(self._batches()) as batches:
            for batch in batches:
                found += batch
                if len(found) > MOST_HELD:
                    return None
        return ListedTenantProvider(found, name=self.name)

    def _batches(self) -> Generator[list[TenantInfo]]:
        tenants = TableTenants(open_table(self.csv_path, self._shown, columns=self._columns, **self._format), self._columns)
        try:
            yield from tenants.batches()
        finally:
            self.passed_over = tenants.passed_over

    async def _walk(self, search: Search | None) -> AsyncGenerator[TenantInfo]:
        version = await self._settled()
        self._version = self._version or version
        with contextlib.closing(self._batches()) as batches:
            for number, batch in enumerate(batches):
                if number % BATCHES_WITHOUT_BREAK == 0:
                    await asyncio.sleep(0)
                for info in batch:
                    if search is None or lets_through(search, info):
                        yield info
        if version != self.version():
            raise self._changed()

    def _changed(self) -> ConflictError:
        return ConflictError(f"{self._shown} was changed while it was read", hint="try again once it is written")


def open_csv(config: CsvSource, folder: Path, *, name: str = "csv") -> CSVTenantProvider:
    """The source that ``config`` names; its paths are relative to ``folder``. Nothing is read yet."""
    return CSVTenantProvider(
        folder / config.csv_path,
        folder / config.config_dir if config.config_dir is not None else None,
        config.watch_changes,
        encoding=config.encoding,
        delimiter=config.delimiter,
        columns={str(field): column for field, column in config.columns.items()},
        sheet=config.sheet,
        name=name,
        shown=config.csv_path,
    )
