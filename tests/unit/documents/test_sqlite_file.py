"""What SQLite's driver promises beyond the suite: groups, crashes, other processes, threads, and what its errors say."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from manor.data import connect
from manor.data.documents import DatabaseInterface, Table
from manor.data.documents.faults import TableMissing, WriteConflict
from manor.data.documents.sqlite import open_driver
from manor.data.documents.sqlite import writing as sqlite_writing
from manor.errors import EngineError, InputError, ManorError, UnreachableError, UnsupportedError

THINGS = Table(name="things", partition_key="PK", sort_key="SK", allow_scans=True)
WRITER = Path(__file__).with_name("sqlite_writer.py")


def store(path: Path, options: str = "") -> DatabaseInterface:
    return connect(
        f"sqlite:///{path}{options}", tenant="acme", tables=[THINGS, Table(name="accounts", partition_key="PK", sort_key="SK")]
    )


def killed_writer(path: Path, lines: int) -> list[str]:
    """Let a writer tell so many transactions, kill it, and return all that it told."""
    with subprocess.Popen([sys.executable, str(WRITER), str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        told = [writer.stdout.readline().strip() for _ in range(lines)]
        writer.kill()
        return told + [line.strip() for line in writer.stdout if line.endswith("\n")]


@pytest.mark.parametrize("lines", [1, 40, 200])
async def test_a_writer_that_is_killed_leaves_nothing_half_done(tmp_path: Path, lines: int) -> None:
    """Every transaction that was answered is there, every other one is there or not, and money is neither made nor lost."""
    path = tmp_path / "documents.db"
    told = await asyncio.to_thread(killed_writer, path, lines)
    async with store(path) as db:
        accounts = [item async for item in db.query_all("accounts", "PK = :a", {":a": "a"})]
        done = {item["SK"] async for item in db.query_all("accounts", "PK = :d", {":d": "done"})}
    assert sum(item["money"] for item in accounts) == 0
    assert set(told) <= done
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


async def test_writes_that_wait_share_a_transaction(tmp_path: Path) -> None:
    """Many more writes than commits."""
    async with store(tmp_path / "x.db") as db:
        await db.ensure_tables()
        begun: list[str] = []
        await db.driver._writer.do(lambda connection: connection.set_trace_callback(begun.append))  # type: ignore[attr-defined]
        await asyncio.gather(*(db.put_item("things", {"PK": "p", "SK": str(number)}) for number in range(200)))
        assert len(await db.scan("things")) == 200
    assert 1 <= sum(statement == "COMMIT" for statement in begun) < 50


async def test_nothing_runs_on_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even opening the file."""
    threads: set[threading.Thread] = set()
    real = sqlite3.connect

    def noted(*args: Any, **options: Any) -> sqlite3.Connection:
        threads.add(threading.current_thread())
        return real(*args, **options)

    monkeypatch.setattr(sqlite3, "connect", noted)
    async with store(tmp_path / "x.db") as db:
        await db.ensure_tables()
        await db.put_item("things", {"PK": "p", "SK": "s"})  # check_same_thread is on: any other thread would be refused
        assert await db.get_item("things", {"PK": "p", "SK": "s"})
    assert threading.current_thread() not in threads
    assert len(threads) == 2
    assert not any(thread.is_alive() for thread in threads)


async def test_an_error_of_one_write_is_not_its_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw rolls the group back, and each of it is done once more alone."""
    real = sqlite_writing.FORM.encode

    def failing(value: Any) -> Any:
        if value.get("bad"):
            raise ZeroDivisionError
        return real(value)

    monkeypatch.setattr(sqlite_writing.FORM, "encode", failing)
    async with store(tmp_path / "x.db") as db:
        await db.ensure_tables()
        items = [{"PK": "p", "SK": str(number), "bad": number == 7} for number in range(20)]
        results = await asyncio.gather(*(db.put_item("things", item) for item in items), return_exceptions=True)
        assert [type(result) for result in results] == [ZeroDivisionError if n == 7 else type(None) for n in range(20)]
        assert len(await db.scan("things")) == 19


async def test_two_processes_share_a_file(tmp_path: Path) -> None:
    """Here two drivers: each sees what the other was answered; one that waits too long for the other is told."""
    async with store(tmp_path / "x.db") as one, store(tmp_path / "x.db", "?busy_seconds=0.05") as other:
        await one.ensure_tables()
        await one.put_item("things", {"PK": "p", "SK": "s", "n": 1})
        assert await other.get_item("things", {"PK": "p", "SK": "s"}) == {"PK": "p", "SK": "s", "n": 1}
        await asyncio.gather(
            *(
                db.update_item("things", {"PK": "p", "SK": "s"}, "ADD n :one", {":one": 1})
                for db in (one, other)
                for _ in range(20)
            )
        )
        assert await one.get_item("things", {"PK": "p", "SK": "s"}) == {"PK": "p", "SK": "s", "n": 41}
        lock = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        with pytest.raises(WriteConflict, match="another process"):
            await other.driver.drop_tables("acme", [THINGS])
        lock.close()
        await other.driver.drop_tables("acme", [THINGS])
        with pytest.raises(TableMissing, match="things"):
            await one.put_item("things", {"PK": "p", "SK": "s"})


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://host/file", "names no file"),
        ("sqlite:///x.db?synchronous=off", "off"),
        ("sqlite:relative.db", "names no file"),
        ("sqlite:/x.db", "names no file"),
        ("sqlite:///a#b.db", "names no file"),
        ("sqlite:///t%00.db", "names no file"),
        ("sqlite:///x.db?busy_seconds=soon", "busy_seconds"),
        ("sqlite:///x.db?busy_seconds=nan", "busy_seconds"),
        ("sqlite:///x.db?busy_seconds=inf", "busy_seconds"),
        ("sqlite:///x.db?busy_seconds=-1", "busy_seconds"),
        ("sqlite:///x.db?cache=5", "cache"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str, word: str) -> None:
    """With what was meant, perhaps."""
    with pytest.raises(InputError, match=word) as refused:
        open_driver(url)
    assert refused.value.hint


async def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    """Another program's, no database at all, and a folder that does not exist."""
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("CREATE TABLE theirs (x)")
    foreign.close()
    (tmp_path / "text.db").write_text("This is no database, though it is long enough to be looked at." * 20)
    for name, kind in (("foreign.db", UnsupportedError), ("text.db", EngineError), ("none/x.db", UnreachableError)):
        db = store(tmp_path / name)
        with pytest.raises(kind) as refused:
            await db.open()
        assert name in str(refused.value)
        assert isinstance(refused.value, ManorError)
        await db.close()
    again = sqlite3.connect(tmp_path / "foreign.db")
    assert again.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
    again.close()


async def test_a_file_without_its_version_is_refused_with_a_way_out(tmp_path: Path) -> None:
    """Which works."""
    async with store(tmp_path / "x.db") as db:
        await db.ensure_tables()
        await db.put_item("things", {"PK": "p", "SK": "s"})
    with closing(sqlite3.connect(tmp_path / "x.db")) as tool:
        tool.execute("PRAGMA user_version = 0")
        with pytest.raises(UnsupportedError, match="lost its version") as refused:
            await db.open()
        tool.execute(refused.value.hint.rpartition(", ")[2])
    async with db:
        assert await db.get_item("things", {"PK": "p", "SK": "s"}) is not None


async def test_a_store_that_is_closed_says_so(tmp_path: Path) -> None:
    """Instead of waiting for ever."""
    db = store(tmp_path / "x.db")
    await db.open()
    await db.close()
    with pytest.raises(UnreachableError, match="not open"):
        await db.driver.get("acme", THINGS, {"PK": "p", "SK": "s"})


async def test_a_store_that_is_opened_twice_is_open_once(tmp_path: Path) -> None:
    """And closes."""
    db = store(tmp_path / "x.db")
    await db.open()
    await db.driver.open()
    async with asyncio.timeout(10):
        async with db:
            await db.ensure_tables()
            await db.put_item("things", {"PK": "p", "SK": "s"})
    with pytest.raises(UnreachableError, match="not open"):
        await db.get_item("things", {"PK": "p", "SK": "s"})


async def test_a_store_is_opened_again_after_it_failed_to_and_after_it_was_closed(tmp_path: Path) -> None:
    """A file that somebody else was writing just then."""
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    db = store(tmp_path / "x.db", "?busy_seconds=0")
    with pytest.raises(WriteConflict):
        await db.open()
    other.execute("ROLLBACK")
    other.close()
    for _ in range(2):
        async with db:
            await db.ensure_tables()
            await db.put_item("things", {"PK": "p", "SK": "s"})


async def test_what_another_thread_asks_while_a_store_closes_is_done_or_refused(tmp_path: Path) -> None:
    """Nobody waits for an answer that does not come, and an event loop that ends disturbs nobody."""
    db = store(tmp_path / "x.db")
    asked = threading.Event()

    async def ask() -> None:
        while True:
            waiting = [asyncio.ensure_future(db.driver.get("acme", THINGS, {"PK": "p", "SK": "s"})) for _ in range(3)]
            async with asyncio.timeout(10):
                found = await asyncio.gather(*waiting, return_exceptions=True)
            asked.set()
            if found != [None] * 3:
                assert {type(one) for one in found} <= {type(None), UnreachableError}
                return

    for _ in range(20):
        await db.open()
        await db.ensure_tables()
        asked.clear()
        there = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(ask())))
        await asyncio.to_thread(asked.wait)
        await db.close()
        await there
