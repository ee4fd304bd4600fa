"""``python sqlite_writer.py FILE``: moves money between accounts until it is killed, and tells what was committed."""

from __future__ import annotations

import asyncio
import random
import sys

from manor.data import connect
from manor.data.documents import DatabaseInterface, Table, TransactionManager

ACCOUNTS = Table(name="accounts", partition_key="PK", sort_key="SK", allow_scans=True)
TASKS = 16


async def move(db: DatabaseInterface, task: int) -> None:
    """Two accounts and the record of the transfer, together."""
    chance, number = random.Random(task), 0
    while True:
        number += 1
        source, target = chance.sample(range(8), 2)
        async with TransactionManager(db) as manager:
            manager.add_update("accounts", {"PK": "a", "SK": str(source)}, "ADD money :m", {":m": -1})
            manager.add_update("accounts", {"PK": "a", "SK": str(target)}, "ADD money :m", {":m": 1})
            manager.add_put("accounts", {"PK": "done", "SK": f"{task}-{number}"})
        print(f"{task}-{number}", flush=True)


async def main(path: str) -> None:
    """Until it is killed."""
    async with connect(f"sqlite:///{path}", tenant="acme", tables=[ACCOUNTS]) as db:
        await db.ensure_tables()
        await asyncio.gather(*(move(db, task) for task in range(TASKS)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
