"""A thread with a connection of its own that does what is asked of it in order, everything that waits as one group.

The event loop never runs SQLite: it leaves a job in a queue and gets a future. A wake-up of the thread, and of the loop, costs
more than most queries do; a group shares them, and a group of writes shares one transaction and one ``fsync``.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias, TypeVar

from manor.data.documents.sqlite.faults import translated
from manor.errors import ManorError, UnreachableError

T = TypeVar("T")
GROUP = 256
"""Jobs of a group, about: no more are taken in from so many on."""


@dataclass(frozen=True, slots=True)
class _Job:
    work: Callable[..., Any]
    arguments: tuple[Any, ...]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


_Queue: TypeAlias = SimpleQueue[list[_Job] | None]
"""None is the end."""
_Answer: TypeAlias = tuple[asyncio.Future[Any], Any, BaseException | None]


class Worker:
    """``connect`` makes the connection, in the thread; ``begin`` is the statement that opens a group."""

    def __init__(self, path: str, connect: Callable[[], sqlite3.Connection], *, begin: str) -> None:
        self.path = path
        self._connect = connect
        self._begin = begin
        self._jobs: _Queue = SimpleQueue()
        self._coming: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        """Held for moments, by the threads of event loops: what one of them adds is sent before another one closes."""

    def start(self) -> None:
        """Start the thread, unless there is one; the connection is made with the first job."""
        if self._thread is None:
            self._jobs = SimpleQueue()
            name = f"documents {self._begin} {self.path}"
            self._thread = threading.Thread(target=self._run, args=(self._jobs,), name=name, daemon=True)
            self._thread.start()

    async def do(self, work: Callable[..., T], *arguments: Any) -> T:
        """``work(connection, *arguments)`` in the thread. Raises what it raises, and SQLite's errors as ours.

        A caller that is cancelled no longer waits; the work may be done all the same.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            if self._thread is None:
                raise UnreachableError(f"{self.path} is not open", hint="async with connect(…) opens it")
            self._add(_Job(work, arguments, future, loop))
        return await future

    def _add(self, job: _Job) -> None:
        """Jobs of one turn of the event loop go together: the first one alone would wake the thread, and be its whole group."""
        coming = self._coming.get(job.loop)
        if coming is None:
            coming = self._coming[job.loop] = []
            job.loop.call_soon(self._send, job.loop)
        coming.append(job)

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._put(loop)

    def _put(self, loop: asyncio.AbstractEventLoop) -> None:
        coming = self._coming.pop(loop, None)
        if coming:
            self._jobs.put(coming)

    async def stop(self) -> None:
        """Finish what was asked, close the connection, end the thread. ``start`` begins anew."""
        with self._lock:
            thread, self._thread = self._thread, None
            if thread is None:
                return
            for loop in list(self._coming):
                self._put(loop)
            self._jobs.put(None)
        await asyncio.to_thread(thread.join)

    # In the thread

    def _run(self, jobs: _Queue) -> None:
        connection: sqlite3.Connection | None = None
        going = True
        while going:
            group, going = _next_group(jobs)
            try:
                connection = connection or self._connect()
                answers = self._do_group(connection, group)
            except sqlite3.Error as error:
                answers = [(job.future, None, translated(error, self.path)) for job in group]
            except BaseException as error:  # for whoever waits; the thread must live
                answers = [(job.future, None, error) for job in group]
            _deliver(group, answers)
        if connection is not None:
            connection.close()

    def _do_group(self, connection: sqlite3.Connection, group: list[_Job]) -> list[_Answer]:
        """All jobs in one transaction, so that none has its answer before it is committed. Where one of them fails in a way
        that is not foreseen, nothing of the group is kept, and each is done once more in a transaction of its own."""
        if not group:
            return []
        connection.execute(self._begin)
        try:
            return _committed(connection, group)
        except Exception:
            if len(group) == 1:
                raise
        return [self._do_alone(connection, job) for job in group]

    def _do_alone(self, connection: sqlite3.Connection, job: _Job) -> _Answer:
        try:
            connection.execute(self._begin)
            return _committed(connection, [job])[0]
        except sqlite3.Error as error:
            return job.future, None, translated(error, self.path)
        except Exception as error:  # it belongs to the caller, not to this thread
            return job.future, None, error


def _next_group(jobs: _Queue) -> tuple[list[_Job], bool]:
    """Everything that waits, and whether to go on afterwards."""
    group: list[_Job] = []
    more = jobs.get()
    while more is not None:
        group += more
        if len(group) >= GROUP:
            break
        try:
            more = jobs.get_nowait()
        except Empty:
            break
    return group, more is not None


def _committed(connection: sqlite3.Connection, group: list[_Job]) -> list[_Answer]:
    try:
        answers = [_do(connection, job) for job in group]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return answers


def _do(connection: sqlite3.Connection, job: _Job) -> _Answer:
    """One job. A job decides before it writes: when it raises an error of ours, it has written nothing."""
    try:
        return job.future, job.work(connection, *job.arguments), None
    except ManorError as error:
        return job.future, None, error


def _deliver(group: list[_Job], answers: list[_Answer]) -> None:
    """Wake each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Answer]] = {}
    for job, answer in zip(group, answers, strict=True):
        by_loop.setdefault(job.loop, []).append(answer)
    for loop, its in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(_settle, its)


def _settle(answers: list[_Answer]) -> None:
    for future, result, error in answers:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
