"""The fault-injecting proxy before the real embedded server."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from manor.testing.pg_proxy import Action, Delay, Direction, Fault, Injection, Message, PgProxy, Point, matching, points

TO_SERVER, TO_CLIENT = Direction.TO_SERVER, Direction.TO_CLIENT
PREPARE = ["BEGIN", "CREATE TABLE made ()", "PREPARE TRANSACTION 'gid'"]
COMMIT = "COMMIT PREPARED 'gid'"


@pytest.fixture
def proxy(server_url: str) -> Iterator[PgProxy]:
    with PgProxy(server_url) as proxy:
        yield proxy


@pytest.fixture
def ask(server_url: str) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
    """Asks the server without the proxy; nothing is left prepared or made afterwards."""

    def rows(statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(server_url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    yield rows
    for (gid,) in rows("SELECT gid FROM pg_prepared_xacts"):
        rows(f"ROLLBACK PREPARED '{gid}'")
    rows("DROP TABLE IF EXISTS made")


def connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url, autocommit=True, connect_timeout=10)


def prepared(connection: psycopg.Connection[Any]) -> None:
    for statement in PREPARE:
        connection.execute(statement.encode())


def fault(direction: Direction, action: Action | Delay, *, times: int | None = 1, **wanted: str) -> Fault:
    return Fault(direction=direction, matches=matching(**wanted), action=action, times=times)


def is_made(ask: Callable[[str], list[tuple[Any, ...]]]) -> bool:
    return ask("SELECT to_regclass('made') IS NOT NULL")[0][0] is True


def hangs(connection: psycopg.Connection[Any], statement: bytes, seconds: float) -> bool:
    """Whether the end of the answer does not come within that time."""
    libpq = connection.pgconn
    libpq.send_query(statement)
    libpq.flush()
    end = time.monotonic() + seconds
    while libpq.is_busy() or libpq.get_result() is not None:
        if libpq.is_busy():
            if not select.select([libpq.socket], [], [], max(0, end - time.monotonic()))[0]:
                return True
            libpq.consume_input()
    return False


@pytest.mark.parametrize("listen", ["unix", "tcp"])
def test_queries_pass_and_are_seen(server_url: str, listen: Any) -> None:
    """The server's own login works through the proxy, and every message is recorded with its database and text."""
    with PgProxy(server_url, listen=listen) as proxy:
        with connect(proxy.url) as connection:
            connection.execute("SELECT 1")
            assert connection.execute("SELECT %s::text", ["x" * 300_000]).fetchone() == ("x" * 300_000,)
        proxy.wait_for(matching(type="X"))
        seen = [(m.direction, m.type, m.text) for m in proxy.messages if m.text and m.type in "QPBDECZ"]
        extended = [(TO_SERVER, letter, "SELECT $1::text") for letter in "PBDE"]
        one = [(TO_CLIENT, "C", "SELECT 1"), (TO_CLIENT, "Z", "I")]
        assert seen == [(TO_CLIENT, "Z", "I"), (TO_SERVER, "Q", "SELECT 1"), *one, *extended, *one]
        assert {m.database for m in proxy.messages if m.type not in ("ssl_request", "encryption_answer")} == {"postgres"}


def test_a_child_process_passes(proxy: PgProxy) -> None:
    """Commands under test run in processes of their own."""
    code = "import psycopg, sys; print(psycopg.connect(sys.argv[1]).execute('SELECT current_user').fetchone()[0])"
    command = [sys.executable, "-W", "ignore", "-c", code, proxy.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "manor_admin"


def test_a_commit_that_is_cut_before_it_is_forwarded_leaves_the_transaction_prepared(proxy: PgProxy, ask: Any) -> None:
    """The client has lost its connection, the server its session, and the decision is still to be carried out."""
    cut = proxy.inject(fault(TO_SERVER, Action.CUT_BEFORE, text="commit prepared"))
    with contextlib.closing(connect(proxy.url)) as connection:
        prepared(connection)
        with pytest.raises(psycopg.OperationalError):
            connection.execute(COMMIT)
    cut.wait_ended()
    assert [m.text for m in cut.fired] == [COMMIT]
    assert ask("SELECT gid FROM pg_prepared_xacts") == [("gid",)]


@pytest.mark.parametrize(
    "lost",
    [
        fault(TO_SERVER, Action.CUT_AFTER, text="commit prepared"),
        fault(TO_CLIENT, Action.CUT_BEFORE, type="C", text="commit prepared"),
        fault(TO_CLIENT, Action.CUT_AFTER, type="C", text="commit prepared"),
        fault(TO_CLIENT, Action.RESET, type="C", text="commit prepared"),
    ],
    ids=["request", "answer", "half the answer", "reset"],
)
@pytest.mark.parametrize("listen", ["unix", "tcp"])
def test_a_commit_whose_answer_is_cut_off_is_committed(server_url: str, ask: Any, lost: Fault, listen: Any) -> None:
    """The client cannot know; the server has done it by the time the struck connection is over."""
    with PgProxy(server_url, listen=listen) as proxy:
        cut = proxy.inject(lost)
        with contextlib.closing(connect(proxy.url)) as connection:
            prepared(connection)
            with pytest.raises(psycopg.OperationalError):
                connection.execute(COMMIT)
        cut.wait_ended()
    assert ask("SELECT gid FROM pg_prepared_xacts") == []
    assert is_made(ask)


def test_a_swallowed_message_leaves_the_client_waiting_and_the_connection_open(proxy: PgProxy, ask: Any) -> None:
    """Without ReadyForQuery the client waits until its own time limit, although the server is done and idle."""
    with contextlib.closing(connect(proxy.url)) as connection:
        prepared(connection)
        swallowed = proxy.inject(fault(TO_CLIENT, Action.SWALLOW, type="Z"))
        assert hangs(connection, COMMIT.encode(), 0.3)
        assert len(swallowed.fired) == 1
        assert is_made(ask)
        assert ask(f"SELECT state FROM pg_stat_activity WHERE pid = {connection.info.backend_pid}") == [("idle",)]


@pytest.mark.parametrize(("direction", "committed"), [(TO_SERVER, False), (TO_CLIENT, True)])
def test_silence_hides_everything_from_both_sides(proxy: PgProxy, ask: Any, direction: Direction, committed: bool) -> None:
    """No answer, no end: even when the client gives up the server keeps its session, until the proxy is told to cut."""
    with contextlib.closing(connect(proxy.url)) as connection:
        pid = connection.info.backend_pid
        prepared(connection)
        silence = proxy.inject(fault(direction, Action.SILENCE, text="commit prepared"))
        assert hangs(connection, COMMIT.encode(), 0.3)
    silence.wait()
    assert is_made(ask) is committed
    assert ask(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") == [(1,)]
    proxy.cut_all()
    silence.wait_ended()


def test_a_delayed_message_arrives_late(proxy: PgProxy) -> None:
    """The answer waits; nothing is lost."""
    with connect(proxy.url) as connection:
        late = proxy.inject(fault(TO_CLIENT, Delay(seconds=0.3), type="C", text="SELECT 1"))
        begun = time.monotonic()
        assert connection.execute("SELECT 7").fetchone() == (7,)
        assert time.monotonic() - begun >= 0.3
        assert connection.execute("SELECT 8").fetchone() == (8,)
        assert len(late.fired) == 1


def test_a_held_commit_is_carried_out_after_the_client_is_gone(proxy: PgProxy, ask: Any) -> None:
    """A message can be on its way longer than its sender lives."""
    held = proxy.inject(fault(TO_SERVER, Action.HOLD, text="commit prepared"))
    with contextlib.closing(connect(proxy.url)) as connection:
        prepared(connection)
        assert hangs(connection, COMMIT.encode(), 0.1)
    assert held.wait().text == COMMIT
    assert ask("SELECT gid FROM pg_prepared_xacts") == [("gid",)]
    held.release()
    held.wait_ended()
    assert is_made(ask)


def test_a_fault_strikes_from_its_occurrence_on_and_as_often_as_asked(proxy: PgProxy) -> None:
    """The second and third connection fail, the first and fourth work."""
    wanted = matching(type="startup")
    refused = proxy.inject(Fault(direction=TO_SERVER, matches=wanted, action=Action.CUT_BEFORE, occurrence=2, times=2))
    outcomes = []
    for _ in range(4):
        try:
            connect(proxy.url).close()
            outcomes.append("works")
        except psycopg.OperationalError:
            outcomes.append("fails")
    assert outcomes == ["works", "fails", "fails", "works"]
    assert len(refused.fired) == 2


def scenario(url: str) -> str:
    """Prepare and commit; what the client believes."""
    try:
        with contextlib.closing(connect(url)) as connection:
            prepared(connection)
            connection.execute(COMMIT)
    except psycopg.OperationalError:
        return "lost"
    return "committed"


def state(ask: Any) -> str:
    """What the server has; it is undone."""
    if ask("SELECT 1 FROM pg_prepared_xacts"):
        ask("ROLLBACK PREPARED 'gid'")
        return "prepared"
    made = is_made(ask)
    ask("DROP TABLE IF EXISTS made")
    return "committed" if made else "nothing"


def strike(proxy: PgProxy, point: Point, action: Action, ask: Any) -> tuple[str, str]:
    proxy.clear()
    injection: Injection = proxy.inject(point.fault(action))
    believed = scenario(proxy.url)
    injection.wait_ended()
    return believed, state(ask)


def test_every_message_of_a_scenario_can_be_cut(proxy: PgProxy, ask: Any) -> None:
    """Recorded once, repeated once per message: each fault fires, and prepared and committed follow in the protocol's order."""
    assert scenario(proxy.url) == "committed"
    proxy.wait_for(matching(type="X"))
    assert state(ask) == "committed"
    recorded = proxy.messages
    begin = next(number for number, m in enumerate(recorded) if m.text == "BEGIN")
    chosen = [point for point in points(recorded)[begin:] if point.type != "X"]
    assert [point.type for point in chosen] == ["Q", "C", "Z"] * 4
    before = [strike(proxy, point, Action.CUT_BEFORE, ask) for point in chosen]
    assert before == [("lost", "nothing")] * 7 + [("lost", "prepared")] * 3 + [("lost", "committed")] * 2
    after = [strike(proxy, point, Action.CUT_AFTER, ask) for point in chosen]
    assert after[:-1] == [("lost", "nothing")] * 6 + [("lost", "prepared")] * 3 + [("lost", "committed")] * 2
    assert after[-1] == ("committed", "committed")


async def test_many_connections_work_at_once(proxy: PgProxy) -> None:
    """Each is told apart by its number."""

    async def work(number: int) -> int:
        async with await psycopg.AsyncConnection.connect(proxy.url, autocommit=True) as connection:
            cursor = await connection.execute("SELECT sum(i + %s) FROM generate_series(1, 1000) i", [number])
            row = await cursor.fetchone()
            return int(row[0]) if row else 0

    results = await asyncio.gather(*map(work, range(60)))
    assert results == [500_500 + 1000 * number for number in range(60)]
    assert {m.connection for m in proxy.messages} == set(range(1, 61))


def test_a_cancel_request_passes(proxy: PgProxy) -> None:
    """It comes on a connection of its own and stops the query of the other."""
    slow = b"DO $$ BEGIN RAISE NOTICE 'under way'; PERFORM pg_sleep(60); END $$"
    with connect(proxy.url) as connection, ThreadPoolExecutor(1) as pool:
        running = pool.submit(connection.execute, slow)
        proxy.wait_for(matching(type="N", text="under way"))
        connection.cancel_safe()
        with pytest.raises(psycopg.errors.QueryCanceled):
            running.result(timeout=30)
    assert proxy.wait_for(matching(type="cancel_request")).connection == 2


def test_encrypted_connections_pass_unseen(plain_server: Any) -> None:
    """TLS is between the client and the server; of what is inside nothing is recorded."""
    with PgProxy(plain_server.outside, listen="tcp") as proxy:
        with connect(proxy.url) as connection:
            assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone() == (True,)
        assert [(m.type, m.text) for m in proxy.messages] == [("ssl_request", ""), ("encryption_answer", "S")]


def test_a_server_that_is_not_there_looks_like_one_that_closes(tmp_path: Path) -> None:
    """The client gets an error at once, not an exception of the proxy."""
    with PgProxy(f"postgresql://ann@/db?host={tmp_path}") as proxy, pytest.raises(psycopg.OperationalError):
        connect(proxy.url)


def test_a_mistake_in_a_fault_is_told_at_the_end(server_url: str) -> None:
    """A predicate that raises ends its connection, and leaving the proxy raises what it raised."""

    def wrong(message: Message) -> bool:
        raise LookupError(message.type)

    proxy = PgProxy(server_url).start()
    proxy.inject(Fault(direction=TO_SERVER, matches=wrong, action=Action.SWALLOW))
    with pytest.raises(psycopg.OperationalError):
        connect(proxy.url)
    with pytest.raises(LookupError, match="startup"):
        proxy.close()


def open_files() -> int:
    """How many this process has; 0 where the system does not say."""
    folder = Path("/proc/self/fd")
    return sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0


def test_nothing_is_left_behind(server_url: str) -> None:
    """Closing with connections open, held and silent ends the thread, the sockets and the folder."""
    descriptors = open_files()
    with contextlib.ExitStack() as stack:
        with PgProxy(server_url) as proxy:
            proxy.inject(fault(TO_SERVER, Action.HOLD, text="held"))
            proxy.inject(fault(TO_SERVER, Action.SILENCE, text="silent"))
            for statement in (b"SELECT 'held'", b"SELECT 'silent'", b"SELECT pg_sleep(60)"):
                connection = stack.enter_context(contextlib.closing(connect(proxy.url)))
                connection.pgconn.send_query(statement)
                connection.pgconn.flush()
            folder = Path(proxy.url.split("host=")[1].split("&")[0].replace("%2F", "/"))
            assert folder.is_dir()
            proxy.wait_for(lambda m: m.text.startswith("SELECT"), times=3)
        assert not folder.exists()
    assert "pg_proxy" not in {thread.name for thread in threading.enumerate()}
    assert open_files() == descriptors


def test_a_proxy_over_tcp_listens_on_the_loopback_only(server_url: str) -> None:
    """Whoever connects has this process's rights, so nobody outside may."""
    with PgProxy(server_url, listen="tcp") as proxy, connect(proxy.url) as connection:
        assert connection.info.hostaddr == "127.0.0.1"
        with socket.socket() as other:
            assert other.connect_ex(("127.0.0.2", connection.info.port)) != 0
