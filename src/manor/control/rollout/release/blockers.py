"""Notices which sessions ours wait for, so that a lock that was not to be had can be laid at somebody's door."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Self

from manor.control.catalog.records import TargetRecord
from manor.control.engines.driver import ServerDriver
from manor.control.engines.releases import Blocker
from manor.control.rollout.alongside import again_and_again
from manor.control.runtime import Runtime
from manor.errors import Code, EngineError, ManorError

LOOK_SECONDS = 0.25
"""Between two looks; locks are waited for some seconds."""


class BlockerWatch:
    """What was seen last, by server and database."""

    @classmethod
    def about(cls, runtime: Runtime, targets: Iterable[TargetRecord]) -> Self:
        """For the servers that have targets: others would only be waited for where they do not answer."""
        names = {target.server for target in targets} - set(runtime.away)
        return cls({name: runtime.servers[name] for name in sorted(names)}, runtime.operation)

    def __init__(self, servers: Mapping[str, ServerDriver], operation: str) -> None:
        self._servers = servers
        self._operation = operation
        self._seen: dict[tuple[str, str], Blocker] = {}

    def looking(self) -> AbstractAsyncContextManager[None]:
        """Look again and again inside the block."""
        return again_and_again(LOOK_SECONDS, self._look, lambda _: None)

    async def _look(self) -> None:
        for name, server in self._servers.items():
            with contextlib.suppress(ManorError):  # one server that does not answer hides nothing of the others
                blockers = await server.releases.blockers(self._operation)
                self._seen.update({(name, database): blocker for database, blocker in blockers.items()})

    def explain(self, server: str, database: str, error: ManorError) -> ManorError:
        """The error, with who held the lock where that was seen."""
        blocker = self._seen.get((server, database))
        if error.code is not Code.TIMEOUT or blocker is None:
            return error
        hint = (
            f"end it (SELECT pg_terminate_backend({blocker.pid})) or try again when it is quiet" if blocker.pid else error.hint
        )
        return EngineError(f"{error.message}; waited for {blocker}", hint=hint, code=Code.TIMEOUT, place=error.place)
