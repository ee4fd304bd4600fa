"""Where an environment's catalog is, was, or will be: its database, beside others that may take its place."""

from __future__ import annotations

from dataclasses import dataclass, field

from manor.control.catalog import schema
from manor.control.catalog.catalog import Catalog
from manor.control.catalog.link import CATALOG_DATABASE
from manor.control.catalog.secrets import SecretBox


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogPlace:
    """One server's place for a catalog. Every method may raise ``UnreachableError`` and ``CatalogError``."""

    admin_url: str = field(repr=False)
    secrets: SecretBox
    application: str

    async def open(self) -> Catalog:
        """As ``Catalog.open``: made where it is missing."""
        return await Catalog.open(self.admin_url, self.secrets, application=self.application)

    async def enter(self, database: str) -> Catalog:
        """The catalog that is in a database of another name, migrated where needed."""
        return await Catalog.enter(self.admin_url, self.secrets, database, application=self.application)

    async def create_beside(self, database: str) -> None:
        """Make an empty database for a catalog to be loaded into; one of that name is dropped before."""
        await schema.create_beside(self.admin_url, database, application=self.application)

    async def drop_beside(self, database: str) -> None:
        """Drop it; no error where there is none."""
        await schema.drop_beside(self.admin_url, database, application=self.application)

    async def put_aside(self, name: str) -> None:
        """Rename the catalog's database."""
        await schema.rename_database(self.admin_url, CATALOG_DATABASE, name, application=self.application)

    async def drop(self) -> None:
        """Drop the catalog's database."""
        await schema.drop_beside(self.admin_url, CATALOG_DATABASE, application=self.application)

    async def put_in_place(self, database: str) -> None:
        """Make a database the catalog's; there must be none."""
        await schema.rename_database(self.admin_url, database, CATALOG_DATABASE, application=self.application)
