"""What the proxy's thread and the test share: the messages seen and the faults that are armed.

Every method may be called from any thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from manor.testing.pg_proxy.faults import Fault, Matches
from manor.testing.pg_proxy.wire import Message

WAIT_SECONDS = 30.0


class Injection:
    """A fault that is armed: whether it fired, on what, and how to wait for it."""

    def __init__(self, fault: Fault, changed: threading.Condition, in_loop: Callable[[Callable[[], None]], None]) -> None:
        self.fault = fault
        self._changed = changed
        self._in_loop = in_loop
        self._released = asyncio.Event()
        self._fired: list[Message] = []
        self._matched = 0
        self._ended = 0

    @property
    def fired(self) -> tuple[Message, ...]:
        """The messages that it struck, oldest first."""
        with self._changed:
            return tuple(self._fired)

    def wait(self, times: int = 1, *, seconds: float = WAIT_SECONDS) -> Message:
        """Wait until it has fired that often; the message of that time. Raises ``TimeoutError``.

        A struck message has been read, and may not be forwarded (or cut, or dropped) yet.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._fired) >= times, seconds):
                raise TimeoutError(f"{self.fault} fired {len(self._fired)} times, not {times}")
            return self._fired[times - 1]

    def wait_ended(self, times: int = 1, *, seconds: float = WAIT_SECONDS) -> None:
        """Wait until that many connections on which it fired are over. Raises ``TimeoutError``.

        After a cut the server's session has then done what it was told, and has ended.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended >= times, seconds):
                raise TimeoutError(f"{self.fault}: {self._ended} struck connections have ended, not {times}")

    def release(self) -> None:
        """Let the messages go that ``Action.HOLD`` keeps, and those that it would keep."""
        self._in_loop(self._released.set)

    async def until_released(self) -> None:
        """For the proxy: wait for ``release``."""
        await self._released.wait()

    def is_due(self, message: Message) -> bool:
        """For the recorder, which holds the lock: count the message, and say whether the fault is for it."""
        fault = self.fault
        if message.direction is not fault.direction or not fault.matches(message):
            return False
        self._matched += 1
        return self._matched >= fault.occurrence and (fault.times is None or len(self._fired) < fault.times)

    def fire(self, message: Message) -> None:
        """For the recorder, which holds the lock: the fault strikes this message."""
        self._fired.append(message)

    def end(self) -> None:
        """For the recorder, which holds the lock: a connection on which it fired is over."""
        self._ended += 1


class Recorder:
    """All messages of a proxy, and its faults."""

    def __init__(self, in_loop: Callable[[Callable[[], None]], None]) -> None:
        self._in_loop = in_loop
        self._changed = threading.Condition()
        self._messages: list[Message] = []
        self._injections: list[Injection] = []
        self._failures: list[Exception] = []

    @property
    def messages(self) -> tuple[Message, ...]:
        """What was seen, oldest first."""
        with self._changed:
            return tuple(self._messages)

    def arm(self, fault: Fault) -> Injection:
        """Have a fault ready. Of several that are for one message the one armed first strikes; the others count it too."""
        injection = Injection(fault, self._changed, self._in_loop)
        with self._changed:
            self._injections.append(injection)
        return injection

    def clear(self) -> None:
        """Forget the messages, disarm the faults."""
        with self._changed:
            self._messages.clear()
            self._injections.clear()

    def wait_for(self, matches: Matches, times: int, seconds: float) -> Message:
        """Wait until that many messages match; the last of them. Raises ``TimeoutError``."""
        with self._changed:
            if not self._changed.wait_for(lambda: sum(map(matches, self._messages)) >= times, seconds):
                raise TimeoutError(f"no such message within {seconds} s; {len(self._messages)} others")
            return [message for message in self._messages if matches(message)][times - 1]

    def see(self, message: Message) -> Injection | None:
        """Keep a message; the injection that strikes it, if any."""
        with self._changed:
            self._messages.append(message)
            due = [injection for injection in self._injections if injection.is_due(message)]
            if due:
                due[0].fire(message)
            self._changed.notify_all()
        return due[0] if due else None

    def fail(self, failure: Exception) -> None:
        """Something went wrong inside the proxy."""
        with self._changed:
            self._failures.append(failure)

    def raise_failure(self) -> None:
        """Raise the oldest of what went wrong, once."""
        with self._changed:
            if self._failures:
                raise self._failures.pop(0)

    def end(self, struck: list[Injection]) -> None:
        """A connection is over on which these fired, each named once per time."""
        with self._changed:
            for injection in dict.fromkeys(struck):
                injection.end()
            self._changed.notify_all()
