"""What is ready to be cloned or taken: goldens, the warm pool; and the servers that hold them."""

from __future__ import annotations

from collections.abc import Sequence

from manor.control.catalog.queries import query
from manor.control.catalog.records import GoldenRecord, ServerRecord, WarmRecord
from manor.control.catalog.store import Store


class StockStore(Store):
    """Servers, goldens and the warm pool."""

    async def put_server(self, record: ServerRecord) -> None:
        """Remember what was seen of a server; ``record.url`` must be redacted."""
        values = {"name": record.name, "engine": record.engine, "url": record.url, "version": record.version}
        await self._link.run(query("put_server"), values)

    async def servers(self) -> list[ServerRecord]:
        """All servers that were seen, by name."""
        rows = await self._link.rows(query("servers"))
        return [ServerRecord(name=row[0], engine=row[1], url=row[2], version=row[3], updated_at=row[4]) for row in rows]

    async def goldens(self, server: str) -> list[GoldenRecord]:
        """Golden databases of a server, by template, oldest first."""
        rows = await self._link.rows(query("goldens"), {"server": server})
        return [
            GoldenRecord(server=row[0], template=row[1], digest=row[2], database=row[3], fingerprint=row[4], created_at=row[5])
            for row in rows
        ]

    async def put_golden(self, record: GoldenRecord) -> None:
        """Record a finished golden database; one per server, template and digest, the last one counts."""
        values = {
            "server": record.server,
            "template": record.template,
            "digest": record.digest,
            "database": record.database,
            "fingerprint": record.fingerprint,
        }
        await self._link.run(query("put_golden"), values)

    async def drop_golden(self, server: str, database: str) -> None:
        """Forget a golden database; no error where it is not known."""
        await self._link.run(query("drop_golden"), {"server": server, "database": database})

    async def pool_add(self, server: str, digest: str, databases: Sequence[str]) -> None:
        """Offer finished databases, clones of the golden ``digest``. Safe to repeat."""
        await self._link.run(query("pool_add"), {"server": server, "digest": digest, "databases": list(databases)})

    async def pool_take(self, server: str, digest: str) -> str | None:
        """Take the oldest matching database out of the pool, or None. Two takers never get the same one."""
        rows = await self._link.rows(query("pool_take"), {"server": server, "digest": digest})
        return str(rows[0][0]) if rows else None

    async def pool_list(self, server: str | None = None) -> list[WarmRecord]:
        """What waits in the pool of one server or of all."""
        rows = await self._link.rows(query("pool_list"), {"server": server})
        return [WarmRecord(server=row[0], digest=row[1], database=row[2], created_at=row[3]) for row in rows]

    async def pool_forget(self, server: str, databases: Sequence[str]) -> None:
        """Strike databases off the pool; no error for unknown ones."""
        await self._link.run(query("pool_forget"), {"server": server, "databases": list(databases)})
