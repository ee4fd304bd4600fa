"""Tables of tenants in databases of the three kinds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from manor.control.registry.provider import TenantRegistryProvider
from manor.control.registry.sql_table import DatabaseTenantProvider, SqlPlace, TableNames
from manor.control.registry.tenant_info import TenantInfo
from manor.testing.sources import Row


def writable(url: str, *, kept: bool = False) -> sa.Engine:
    """An engine for the test's own hands; ``kept``: its connections stay open."""
    pool = sa.QueuePool if kept else sa.NullPool
    for scheme, driver in (("postgresql", "postgresql+psycopg"), ("mysql", "mysql+pymysql")):
        if url.startswith(f"{scheme}:"):
            return sa.create_engine(url.replace(scheme, driver, 1), poolclass=pool)
    return sa.create_engine(url, poolclass=pool)


class Types:
    """How one kind of database spells the columns of tenants."""

    def __init__(self, url: str) -> None:
        self.family = url.partition(":")[0]
        # None of these compares byte by byte of itself.
        collation = {"postgresql": None, "mysql": None, "sqlite": "NOCASE"}[self.family]
        self.text: Any = sa.String(200, collation=collation)
        self.moment: Any = {
            "postgresql": sa.DateTime(timezone=True),
            "mysql": mysql.DATETIME(fsp=6),
            "sqlite": sa.Text(),
        }[self.family]
        self.document: Any = {"postgresql": postgresql.JSONB(none_as_null=True)}.get(self.family, sa.JSON(none_as_null=True))
        self.instances: Any = {"postgresql": sa.ARRAY(sa.Text)}.get(self.family, sa.Text())

    def table(self, metadata: sa.MetaData, *, texts_only: bool = False) -> sa.Table:
        """All fields, none of them required."""
        kinds = {
            "created_at": self.text if texts_only else self.moment,
            "updated_at": self.moment,
            "instances": self.instances,
            "billing_info": self.document,
            "contract_info": sa.JSON(none_as_null=True),
        }
        columns = [sa.Column(name, kinds.get(name, self.text)) for name in TenantInfo.model_fields]
        return sa.Table("tenants", metadata, *columns)

    def values(self, row: Row, *, texts_only: bool = False) -> dict[str, Any]:
        """A row as this database takes it."""
        made: dict[str, Any] = dict.fromkeys(TenantInfo.model_fields) | dict(row)
        if isinstance(made["instances"], list) and self.family != "postgresql":
            made["instances"] = ";".join(made["instances"]) if self.family == "mysql" else json.dumps(made["instances"])
        for name in ("created_at", "updated_at"):
            if made[name] and self.family != "sqlite" and not (texts_only and name == "created_at"):
                moment = TenantInfo(tenant_id="x", customer_code="x", created_at=made[name]).created_at
                made[name] = moment if self.family == "postgresql" else moment and moment.replace(tzinfo=None)
        return made


def _is_plain(moment: str | None) -> bool:
    """Whether a column for points in time takes it, and as what it says."""
    return moment is None or (moment[4:5] == "-" and moment[10:11] in ("T", " "))


def fill(url: str, rows: Sequence[Row], configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Make the tables and fill them, not in the order of the ids."""
    types, metadata = Types(url), sa.MetaData()
    texts_only = any(not _is_plain(row.get("created_at")) for row in rows)
    tenants = types.table(metadata, texts_only=texts_only)
    settings = sa.Table("tenant_configs", metadata, sa.Column("tenant_id", types.text), sa.Column("config", types.document))
    engine = writable(url)
    with engine.begin() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
        if rows:
            connection.execute(sa.insert(tenants), [types.values(row, texts_only=texts_only) for row in reversed(rows)])
        if configs:
            connection.execute(sa.insert(settings), [{"tenant_id": key, "config": value} for key, value in configs.items()])
    engine.dispose()


class SqlBench:
    """A source over tables in the database at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url

    @contextlib.asynccontextmanager
    async def open(
        self, rows: Sequence[Row], configs: Mapping[str, Mapping[str, Any]] = {}
    ) -> AsyncIterator[TenantRegistryProvider]:
        fill(self.url, rows, configs)
        provider = DatabaseTenantProvider(SqlPlace(source="crm", url=self.url), TableNames())
        try:
            yield provider
        finally:
            await provider.aclose()
