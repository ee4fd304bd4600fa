"""From a location to a store."""

from __future__ import annotations

from pathlib import Path

from manor.storage.driver import Driver
from manor.storage.local import LocalDriver
from manor.storage.location import Location, parse_location
from manor.storage.store import Store


def open_store(location: str | Path, *, base: Path | None = None) -> Store:
    """The store at ``location``: a folder (a relative one counts from ``base``), or a URL ``file://``, ``s3://``, ``gs://``,
    ``az://``, ``memory://`` (a new empty store, for tests). Nothing is contacted or made yet; the first put makes a folder.

    Raises ``InputError`` for a location that cannot be used.
    """
    place = parse_location(location, base)
    return Store(place, _driver(place))


def _driver(place: Location) -> Driver:
    if place.folder is not None:
        return LocalDriver(place.folder)
    # obstore is 16 MB that most commands do not need
    from manor.storage.cloud import open_cloud

    return open_cloud(place)
