"""The catalog as one object: opened, migrated, locked, closed. Its methods are in the stores beside this module.

Assumes PostgreSQL and a login that may create databases, or that owns ``manor_catalog``; it need not be a superuser.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Self

from manor.control.catalog import schema
from manor.control.catalog.backups import BackupStore
from manor.control.catalog.bases import BaseStore
from manor.control.catalog.directory import DirectoryStore
from manor.control.catalog.drills import DrillStore
from manor.control.catalog.erasures import ErasureStore
from manor.control.catalog.fleet import FleetStore
from manor.control.catalog.kept import KeptStore
from manor.control.catalog.link import Link, catalog_conninfo
from manor.control.catalog.locks import HeldLock, hold
from manor.control.catalog.queries import load_migrations, query
from manor.control.catalog.rebirth import RebirthStore
from manor.control.catalog.releases import ReleaseStore
from manor.control.catalog.schedules import ScheduleStore
from manor.control.catalog.secrets import SecretBox
from manor.control.catalog.stock import StockStore
from manor.control.catalog.vault import VaultStore
from manor.errors import CatalogError, Code, UnreachableError


class Catalog(
    BackupStore,
    BaseStore,
    DirectoryStore,
    DrillStore,
    ErasureStore,
    FleetStore,
    KeptStore,
    RebirthStore,
    ReleaseStore,
    ScheduleStore,
    StockStore,
    VaultStore,
):
    """The control-plane database of one environment.

    One connection is kept and reopened when it is gone; calls of several tasks take turns on it. A connection that is lost
    within a call raises ``UnreachableError`` (transient), and the next call reconnects.
    """

    @classmethod
    async def open(cls, admin_url: str, secrets: SecretBox, *, application: str) -> Self:
        """The catalog on that server, made and migrated where needed. ``application``: shown by the server for our session.

        Raises ``InputError`` (URL), ``UnreachableError``, and ``CatalogError``: newer than this Manor, wrong key, not allowed.
        """
        link = Link(catalog_conninfo(admin_url), application=application)
        try:
            if not await _reachable(link, admin_url):
                await schema.create_database(admin_url, application=application)
            async with link.use() as connection:
                await schema.migrate(connection, load_migrations())
            return await cls._identified(link, secrets, claim=True)
        except BaseException:  # cancellation too: whoever gets no catalog cannot close it
            await link.close()
            raise

    @classmethod
    async def peek(cls, admin_url: str, secrets: SecretBox, *, application: str) -> Self | None:
        """The catalog if there is one, else None; changes nothing. Raises like ``open``, and ``CatalogError`` where it is older
        than this Manor, until a command that acts has migrated it."""
        link = Link(catalog_conninfo(admin_url), application=application)
        try:
            if await _reachable(link, admin_url) and await _is_migrated(link):
                return await cls._identified(link, secrets, claim=False)
            await link.close()
            return None
        except BaseException:  # cancellation too: whoever gets no catalog cannot close it
            await link.close()
            raise

    @classmethod
    async def enter(cls, admin_url: str, secrets: SecretBox, database: str, *, application: str) -> Self:
        """A catalog that is in a database of another name, migrated where needed. Raises like ``open``."""
        link = Link(catalog_conninfo(admin_url, database=database), application=application)
        try:
            async with link.use() as connection:
                await schema.migrate(connection, load_migrations())
            return await cls._identified(link, secrets, claim=False)
        except BaseException:  # cancellation too: whoever gets no catalog cannot close it
            await link.close()
            raise

    @property
    def key_id(self) -> str:
        """Id of the key that everything stored here can be decrypted with."""
        return self._secrets.key_id

    @classmethod
    async def _identified(cls, link: Link, secrets: SecretBox, *, claim: bool) -> Self:
        rows = await link.rows(query("identity"))
        if not rows:
            raise CatalogError("the catalog has lost its identity", hint="restore it from a backup")
        catalog_id, key_id = rows[0]
        if claim and not key_id:
            await link.run(query("claim_key"), {"key_id": secrets.create_key()})
            key_id = (await link.rows(query("identity")))[0][1]
        secrets.check(key_id)
        return cls(link, secrets, catalog_id)

    def lock(self, name: str, *, wait_seconds: float, holder: str) -> AbstractAsyncContextManager[HeldLock]:
        """Hold a named lock inside ``async with``. ``holder``: the operation's id.

        Raises ``ConflictError`` that says who holds it when it is not free within ``wait_seconds`` (0: ask once).
        """
        return hold(self._link.info, name, wait_seconds=wait_seconds, holder=holder)

    async def close(self) -> None:
        """Close the connection."""
        await self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _reachable(link: Link, admin_url: str) -> bool:
    """Whether the catalog's database is there. The server's list is asked only where connecting fails."""
    try:
        async with link.use():
            return True
    except (UnreachableError, CatalogError):
        if await schema.exists(admin_url, application=link.application):
            raise
        return False


async def _is_migrated(link: Link) -> bool:
    migrations = load_migrations()
    async with link.use() as connection:
        version = schema.compare(await schema.applied(connection), migrations)
    if 0 < version < len(migrations):
        raise CatalogError(
            f"the catalog has version {version}, this Manor needs version {len(migrations)}",
            hint="a command that acts (multi-tenant deploy) migrates it",
            code=Code.REFUSED,
        )
    return version > 0
