"""One connection through the proxy: two pumps that carry its messages, and the ways in which it ends."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import struct
from dataclasses import dataclass

from manor.testing.pg_proxy.faults import Action, Delay
from manor.testing.pg_proxy.recorder import Injection, Recorder
from manor.testing.pg_proxy.wire import ENCRYPTED, Direction, Framer, Message, Packet, Session

_CHUNK_BYTES = 1 << 16
_NO_LINGER = struct.pack("ii", 1, 0)


class _End(enum.Enum):
    """Why a pump stopped."""

    SENDER_GONE = enum.auto()
    CUT = enum.auto()
    RESET = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """An open connection to the client or to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def read(self) -> bytes:
        """What has come; empty once the peer is gone, however it went."""
        try:
            return await self.reader.read(_CHUNK_BYTES)
        except OSError:
            return b""

    async def write(self, data: bytes) -> None:
        """Send. A peer that is gone gets nothing; that is noticed where we read from it."""
        with contextlib.suppress(OSError):
            self.writer.write(data)
            await self.writer.drain()

    def end_writing(self) -> None:
        """Tell the peer that nothing more will come, after all that was written."""
        with contextlib.suppress(OSError):
            self.writer.write_eof()

    async def read_to_the_end(self) -> None:
        """Wait until the peer closes; what it still says is lost."""
        while await self.read():
            pass

    async def close(self) -> None:
        """Close, after all that was written has been sent."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def abort(self) -> None:
        """Close at once. Does nothing to a side that is closed."""
        self.writer.transport.abort()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        """Close at once, and over TCP say that it was no proper end."""
        found: socket.socket = self.writer.get_extra_info("socket")
        if found.family != socket.AF_UNIX:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.writer.transport.abort()


class Relay:
    """Connection ``number`` between a client and the server. Closes both sides, whatever happens."""

    def __init__(self, number: int, recorder: Recorder, *, client: Side, server: Side) -> None:
        self._number = number
        self._recorder = recorder
        self._client, self._server = client, server
        self._session = Session()
        self._end: _End | None = None
        self._silent = False
        self._struck: list[Injection] = []

    async def run(self) -> None:
        """Carry messages until the server has closed, or a fault ends it."""
        pumps = [asyncio.create_task(self._pump(direction)) for direction in Direction]
        try:
            end = await self._end_of(pumps)
            await self._stop(pumps)
            await self._finish(end)
        except Exception as failure:  # such as a fault's own: told before the client can notice that something went wrong
            self._recorder.fail(failure)
        finally:
            await self._stop(pumps)
            await self._client.abort()
            await self._server.abort()
            self._recorder.end(self._struck)

    async def _end_of(self, pumps: list[asyncio.Task[_End]]) -> _End:
        to_server, to_client = pumps
        pending = set(pumps)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            ends = {pump.result() for pump in done} - {_End.SENDER_GONE}
            if ends:
                return ends.pop()
            if to_client in done and not self._silent:
                break
            if to_server in done and not self._silent:
                self._server.end_writing()
        return _End.SENDER_GONE

    async def _stop(self, pumps: list[asyncio.Task[_End]]) -> None:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)

    async def _finish(self, end: _End) -> None:
        if end is _End.RESET:
            self._client.reset()
            self._server.reset()
            return
        self._client.writer.close()
        if end is _End.CUT:
            # Half closed, the server still does what it was told; its own end of the connection says when it is done.
            self._server.end_writing()
            await self._server.read_to_the_end()
        await self._server.close()
        await self._client.close()

    async def _pump(self, direction: Direction) -> _End:
        sender, receiver = self._client, self._server
        if direction is Direction.TO_CLIENT:
            sender, receiver = receiver, sender
        framer = Framer.of(self._session, direction)
        while data := await sender.read():
            for packet in framer.feed(data):
                end = await self._carry(direction, packet, receiver)
                if end is not None:
                    return end
        if framer.rest and not self._silent:
            await receiver.write(framer.rest)
        return self._end or _End.SENDER_GONE

    async def _carry(self, direction: Direction, packet: Packet, receiver: Side) -> _End | None:
        if self._end is not None:
            return self._end
        injection = None if packet.type == ENCRYPTED else self._recorder.see(self._message(direction, packet))
        if injection is not None:
            self._struck.append(injection)
        if self._silent:
            return None
        if injection is None:
            await receiver.write(packet.data)
            return None
        return await self._perform(injection, packet, receiver)

    async def _perform(self, injection: Injection, packet: Packet, receiver: Side) -> _End | None:
        match injection.fault.action:
            case Delay(seconds=seconds):
                await asyncio.sleep(seconds)
                await receiver.write(packet.data)
            case Action.HOLD:
                await injection.until_released()
                await receiver.write(packet.data)
            case Action.SILENCE:
                self._silent = True
            case Action.CUT_AFTER:
                self._end = _End.CUT  # before the message goes out, or its answer could slip through
                await receiver.write(packet.data)
            case Action.CUT_BEFORE:
                self._end = _End.CUT
            case Action.RESET:
                self._end = _End.RESET
            case Action.SWALLOW:
                pass
        return self._end

    def _message(self, direction: Direction, packet: Packet) -> Message:
        return Message(
            connection=self._number,
            database=self._session.database,
            application=self._session.application,
            direction=direction,
            type=packet.type,
            text=packet.text,
        )
