"""A catalog that takes the place of a lost one: under the old identity, so that the databases' markers are its own again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from manor.control.catalog.ledger import LedgerStore
from manor.control.catalog.queries import query
from manor.control.catalog.store import batch_json
from manor.errors import CatalogError, Code

REBUILD = "rebuild"
"""The verb of the operation that rebuilds a catalog."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """How much a catalog holds."""

    tenants: int
    entries: int
    """Of the audit log."""
    rebuild: str
    """State of its newest rebuild; empty where there was none."""

    @property
    def may_be_rebuilt(self) -> bool:
        """Whether nothing would be lost: it is empty, or a rebuild of it did not come to its end."""
        return not self.tenants or self.rebuild not in ("", "succeeded")


class RebirthStore(LedgerStore):
    """What only a rebuild does to a catalog."""

    async def content(self) -> Content:
        """How much is in it."""
        tenants, entries, state = (await self._link.rows(query("content"), {"verb": REBUILD}))[0]
        return Content(tenants=tenants, entries=entries, rebuild=state or "")

    async def take_identity(self, catalog_id: str) -> None:
        """Become the catalog of that id. Raises ``CatalogError`` where entries of the log hang on another one already."""
        if catalog_id == self._id:
            return
        if not await self._link.run(query("take_identity"), {"id": catalog_id}):
            message = f"the catalog {self._id} is in use: it cannot become {catalog_id}"
            raise CatalogError(message, code=Code.CONFLICT, hint="rename its database, manor_catalog, and run this again")
        self._id = catalog_id

    async def put_scripts(self, scripts: Sequence[Mapping[str, Any]]) -> None:
        """Record migrations (``script_json``) that were run, so that undoing them needs no files. Safe to repeat."""
        await self._link.run(query("put_scripts"), {"batch": batch_json(scripts)})

    async def raise_tokens(self, highest: int) -> None:
        """Let fencing go on above ``highest``: databases refuse runners with a lower token than they have seen."""
        await self._link.rows(query("raise_tokens"), {"highest": highest})
