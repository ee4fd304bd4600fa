"""What killed commands left of a tenant outside of any key: uploads that had not ended, and bundles half put together.

Where they can be is what the journal says: each place that a backup, a final export or a bundle was ever written to. Whose data
it is cannot be told; so all of it goes, of all tenants. What a living command writes is left alone, and named.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from manor.control.catalog.erasures import BUNDLE
from manor.control.rollout.backups.workroom import sweep_workrooms, workrooms
from manor.control.rollout.erasure.places import Surroundings
from manor.control.runtime import Runtime
from manor.errors import InputError, ManorError
from manor.storage.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """Everywhere that Manor was told to write tenants' data to."""

    stores: tuple[Store, ...]
    bundles: tuple[Path, ...]
    """Folders that bundles were written into."""

    async def sweep(self) -> int:
        """Remove what dead commands left; how many files and folders. What cannot be removed stays, for ``look`` to name: it
        may be on a disk that is gone since, and must not keep a tenant from being erased."""
        swept = 0
        for store in self.stores:
            with contextlib.suppress(ManorError):
                swept += await store.sweep()
        for folder in self.bundles:
            with contextlib.suppress(OSError):
                swept += await asyncio.to_thread(sweep_workrooms, folder)
        return swept

    def look(self) -> tuple[list[Path], list[str]]:
        """Files and folders that are there now, and the places that cannot be looked into, in words. Blocks."""
        found: list[Path] = []
        unseen = []
        looks = [(store.display(), store.unfinished) for store in self.stores if store.location.folder is not None]
        looks += [(str(folder), functools.partial(workrooms, folder)) for folder in self.bundles]
        for place, look in looks:
            try:
                found += look()
            except OSError as error:
                unseen.append(f"{place}: unfinished files there cannot be seen ({error.strerror})")
        away = sorted({store.display() for store in self.stores if store.location.folder is None})
        words = "that were cut short: its rule for unfinished uploads removes them"
        return found, [*unseen, *(f"uploads to {one} {words}" for one in away)]


async def places_of_writing(runtime: Runtime, around: Surroundings, more: Iterable[Store] = ()) -> Writing:
    """All of them. Raises ``CatalogError``."""
    stores = {around.vault.location: around.vault.store, **{store.display(): store for store in more}}
    bundles: set[Path] = set()
    for kind, place in await runtime.catalog.places_of_writing():
        if kind == BUNDLE:
            bundles.add(Path(place).parent)
        elif place not in stores:
            with contextlib.suppress(InputError):  # nothing was ever written there
                stores[place] = around.open_store(place)
    return Writing(stores=tuple(stores.values()), bundles=tuple(sorted(bundles)))
