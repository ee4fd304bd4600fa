"""What ``catalog rebuild`` and ``catalog restore`` begin with: servers, and a place where a catalog may be, or not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from manor.control.catalog.catalog import Catalog
from manor.control.catalog.place import CatalogPlace
from manor.control.catalog.tombstones import TombstoneFile
from manor.control.engines.driver import ServerDriver
from manor.control.runtime import Runtime
from manor.errors import RefusedError, counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What there is before a catalog is there."""

    servers: Mapping[str, ServerDriver]
    home: ServerDriver
    """The server that holds catalogs; it may be none of the others."""
    place: CatalogPlace
    found: Catalog | None
    """The catalog, where its database is there all the same."""
    tombstones: TombstoneFile
    """Beside the catalog: who was erased."""
    runtime: Callable[[Catalog], Runtime]
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)


def aside_name(catalog_id: str) -> str:
    """The name that the database of a catalog without tenants gets, where another one takes its place."""
    return f"manor_catalog_{catalog_id}"


async def replaced_by(recovery: Recovery, catalog_id: str) -> str:
    """Id of a catalog without tenants that was used, and that another one is to replace; empty where there is none."""
    found = recovery.found
    return found.id if found is not None and found.id != catalog_id and (await found.content()).entries else ""


async def make_room(recovery: Recovery, catalog_id: str) -> None:
    """Rename the database of another catalog without tenants, so that this one can come; one that was never used may stay."""
    replaced = await replaced_by(recovery, catalog_id)
    if recovery.found is not None:
        await recovery.found.close()
    if replaced:
        await recovery.place.put_aside(aside_name(replaced))


async def refuse_in_use(recovery: Recovery) -> None:
    """Raise ``RefusedError`` where the catalog is there and has tenants, unless a rebuild of it did not come to its end."""
    found = recovery.found
    content = await found.content() if found is not None else None
    if found is not None and content is not None and not content.may_be_rebuilt:
        raise RefusedError(
            f"the catalog {found.id} is there and has {counted(content.tenants, 'tenant')}: nothing is to be brought back",
            hint="where it is to be given up, rename its database, manor_catalog, first",
        )
