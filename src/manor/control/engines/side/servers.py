"""Makes side instances and sweeps up what killed commands left of them. Implements ``SideServers`` of the port."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from manor.control.engines.bases import ServerShape
from manor.control.engines.embedded.account import choose_account
from manor.control.engines.embedded.layout import Layout
from manor.control.engines.postgres.programs import Finder
from manor.control.engines.side.homes import prepare_home, sweep_homes
from manor.control.engines.side.instance import PostgresSide
from manor.control.engines.side.programs import find_postgres
from manor.control.engines.side.rooms import hold_room
from manor.control.engines.sides import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresSides:
    """Side instances of one project. ``embedded``: whether they are made of the embedded server's backups."""

    project: Path
    environment: Mapping[str, str]
    embedded: bool
    programs: Finder
    """Finds what dumps them."""
    deadline_seconds: float = 3600

    @contextlib.asynccontextmanager
    async def opening(self, shape: ServerShape) -> AsyncIterator[Side]:
        layout = Layout.of(self.project)
        account = choose_account(self.environment, layout.owner_of_data())
        program = find_postgres(shape.major, account, self.environment, embedded=self.embedded)
        home = prepare_home(layout, account, self.environment)
        self.sweep()
        with hold_room(home, account) as room:
            room.data.mkdir(mode=0o700)
            side = PostgresSide(
                room, shape, program, account, self.environment, programs=self.programs, deadline_seconds=self.deadline_seconds
            )
            try:
                yield side
            finally:
                await side.end()

    def sweep(self) -> Sequence[Path]:
        return sweep_homes(self.project, self.environment)
