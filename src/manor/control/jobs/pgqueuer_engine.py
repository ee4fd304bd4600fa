"""The engine for many worker machines: PgQueuer on the catalog's PostgreSQL, in a schema of its own.

One queue per server, of which one batch at a time is carried out over all workers: the server's connection budget is then kept
without any counting between machines. A worker's heartbeat goes into the job's row; when it stays away, the next worker that
looks takes the batch. PgQueuer's ``run()`` ends when its connection does, so that it is begun again, with growing pauses.

Assumes a login that may create a schema in the catalog's database. Every connection is this engine's own: PgQueuer wants
autocommit, and listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from datetime import timedelta
from typing import Any

import psycopg
import stamina
from pgqueuer.adapters.persistence import qb
from pgqueuer.core.qm import QueueManager
from pgqueuer.db import PsycopgDriver
from pgqueuer.domain.settings import DBSettings
from pgqueuer.errors import FailingListenerError, RetryRequested
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from pgqueuer.types import Channel
from psycopg import sql

from manor.control.jobs.engine import Again, Batch, Capabilities, Carry, IsOver
from manor.errors import Code, EngineError, UnreachableError

SCHEMA = "manor_jobs"
BATCH_SIZE = 250
DEAD_AFTER_SECONDS = 15.0
_LOOK_SECONDS = 0.5
"""Between two looks at the journal while nothing is heard."""
_IDLE_SECONDS = 5.0
"""Between two looks at the queue while nothing is heard."""
_BREATH_SECONDS = 0.05
"""At least between two looks: a busy queue is heard all the time."""
_LONG_ENOUGH_SECONDS = 30.0
"""After which a worker that loses its connection begins with short pauses again."""
_LONGEST_PAUSE_SECONDS = 10.0

Connection = psycopg.AsyncConnection[Any]

# Without a handler Python would print stamina's warnings on stderr.
logging.getLogger("stamina").addHandler(logging.NullHandler())


class _Names(DBSettings):
    """PgQueuer's names for what it makes; the environment's variables are those of somebody else's queue."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: Any,  # noqa: ARG003 - the base class calls it by these names
        init_settings: Any,
        *_: Any,
        **__: Any,
    ) -> tuple[Any, ...]:
        return (init_settings,)


class PgQueuerEngine:
    """``JobEngine`` and ``WorkerEngine``. ``info``: how to reach the catalog's database; ``application``: shown by the server.

    ``dead_after_seconds``: how long a worker may be silent before another takes its batch; all workers should agree.
    """

    capabilities = Capabilities(remote=True, batch_size=BATCH_SIZE, redelivers=True)

    def __init__(self, info: str, *, application: str, dead_after_seconds: float = DEAD_AFTER_SECONDS) -> None:
        self._info = info
        self._application = application
        self._dead_after = timedelta(seconds=dead_after_seconds)
        self._connection: Connection | None = None
        self._settings = _Names(db_schema=SCHEMA, channel=Channel(SCHEMA))

    def __repr__(self) -> str:
        return f"PgQueuerEngine(application={self._application!r})"

    async def submit(self, batches: Sequence[Batch]) -> None:
        """A job per batch; its key keeps it from being there twice."""
        if not batches:
            return
        async with self._kept() as connection:
            await self._queries(connection).enqueue(
                [queue_of(batch.server) for batch in batches],
                [batch.to_json().encode() for batch in batches],
                [0] * len(batches),
                dedupe_key=[batch.key for batch in batches],
                on_conflict="skip",
            )

    async def cancel(self, operation: str) -> None:
        """Delete the jobs that nobody has taken. Those that somebody has stay: should he die, they are brought back."""
        table = sql.Identifier(SCHEMA, self._settings.queue_table)
        delete = sql.SQL("DELETE FROM {} WHERE status = 'queued' AND starts_with(dedupe_key, %s)").format(table)
        async with self._kept() as connection:
            await connection.execute(delete, (f"{operation}/",))

    async def wait(self, operation: str, wave: int, is_over: IsOver) -> None:  # noqa: ARG002 - the journal knows
        """Ask whenever the queue has changed, and from time to time."""
        while not await is_over():
            await asyncio.sleep(_BREATH_SECONDS)
            try:
                async with self._kept() as connection:
                    await _listen(connection)
            except (UnreachableError, EngineError):  # the journal says whether it goes on
                await asyncio.sleep(_LOOK_SECONDS)

    async def close(self) -> None:
        """Close the kept connection."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def serve(
        self,
        carry: Carry,
        *,
        servers: Collection[str],
        parallel: int,
        should_stop: Callable[[], bool],
        on_trouble: Callable[[Exception], None],
    ) -> None:
        """Carry out batches of ``servers`` until told to stop."""

        def worth_waiting(error: Exception) -> bool:
            on_trouble(error)
            return not should_stop() and isinstance(error, psycopg.Error | OSError | FailingListenerError | UnreachableError)

        job = _Carrier(carry, on_trouble)
        while not should_stop():
            # One series of growing pauses per outage.
            async for attempt in stamina.retry_context(
                on=worth_waiting, attempts=None, timeout=None, wait_initial=0.2, wait_max=_LONGEST_PAUSE_SECONDS
            ):
                with attempt, _forgiven_after(_LONG_ENOUGH_SECONDS, on_trouble):
                    await self._serve_once(job, servers, parallel, should_stop)

    async def _serve_once(
        self, job: _Carrier, servers: Collection[str], parallel: int, should_stop: Callable[[], bool]
    ) -> None:
        connection = await self._connect()
        try:
            await self._install(connection)
            manager = QueueManager(self._queries(connection), Channel(SCHEMA))
            for server in servers:
                manager.entrypoint(queue_of(server), concurrency_limit=1, accepts_context=False)(job.run)
            watch = asyncio.create_task(_shut_down_when(should_stop, manager.shutdown))
            try:
                await manager.run(
                    dequeue_timeout=timedelta(seconds=_IDLE_SECONDS),
                    batch_size=1,
                    max_concurrent_tasks=max(2, parallel),  # PgQueuer asks for twice the batch size
                    shutdown_on_listener_failure=True,
                    heartbeat_timeout=self._dead_after,
                )
            finally:
                watch.cancel()
        finally:
            await connection.close()

    def _queries(self, connection: Connection) -> Queries:
        return Queries(
            PsycopgDriver(connection),
            qbe=qb.QueryBuilderEnvironment(self._settings),
            qbq=qb.QueryQueueBuilder(self._settings),
            qbs=qb.QuerySchedulerBuilder(self._settings),
        )

    async def _install(self, connection: Connection) -> None:
        """Make PgQueuer's tables, or bring those of an older one up to date; one process at a time."""
        queries = self._queries(connection)
        async with queries.schema_lock():
            if await queries.schema_is_installed():
                await queries.upgrade()
            else:
                await queries.install()

    async def _connect(self) -> Connection:
        return await psycopg.AsyncConnection.connect(self._info, autocommit=True, application_name=self._application)

    @contextlib.asynccontextmanager
    async def _kept(self) -> AsyncIterator[Connection]:
        """The coordinator's connection, opened where it is not, and dropped where it breaks."""
        with _translated():
            if self._connection is None or self._connection.closed:
                connection = await self._connect()
                try:
                    await self._install(connection)
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(SCHEMA)))
                except BaseException:
                    await connection.close()
                    raise
                self._connection = connection
            try:
                yield self._connection
            except psycopg.OperationalError:
                await self.close()
                raise


class _Carrier:
    """What PgQueuer calls for every job."""

    def __init__(self, carry: Carry, on_trouble: Callable[[Exception], None]) -> None:
        self._carry = carry
        self._on_trouble = on_trouble

    async def run(self, job: Job) -> None:
        """Carry a batch out; what is not finished, or failed, comes back later."""
        try:
            again = await self._carry(Batch.from_json(job.payload or b""))
        except Exception as error:
            self._on_trouble(error)
            again = Again(seconds=min(60.0, 2.0**job.attempts), reason=type(error).__name__)
        if again is not None:
            raise RetryRequested(timedelta(seconds=again.seconds), again.reason)


def queue_of(server: str) -> str:
    """PgQueuer's entry point for batches of a server."""
    return f"batch {server}"


async def _listen(connection: Connection) -> None:
    """Wait for the next notification, whatever it says, or for a while."""
    await anext(connection.notifies(timeout=_LOOK_SECONDS, stop_after=1), None)


async def _shut_down_when(should_stop: Callable[[], bool], shutdown: asyncio.Event) -> None:
    while not should_stop():  # noqa: ASYNC110 - a signal handler's flag
        await asyncio.sleep(0.1)
    shutdown.set()


@contextlib.contextmanager
def _forgiven_after(seconds: float, on_trouble: Callable[[Exception], None]) -> Iterator[None]:
    """Swallow an error that comes after a long time of peace: whoever tries again begins with a short pause."""
    began = time.monotonic()
    try:
        yield
    except Exception as error:
        if time.monotonic() - began < seconds:
            raise
        on_trouble(error)


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        message = str(error).strip().partition("\n")[0]
        hint = "is the catalog's server running? manor server status"
        raise UnreachableError(f"the job queue does not answer: {message}", hint=hint, transient=True) from error
    except psycopg.Error as error:
        state = error.sqlstate or ""
        denied = state == "42501"
        hint = "the catalog's login must own the database manor_catalog" if denied else ""
        message = (error.diag.message_primary or str(error)).strip().partition("\n")[0]
        code = Code.DENIED if denied else Code.CORRUPT
        raise EngineError(f"the job queue fails: {message}", hint=hint, code=code) from error
