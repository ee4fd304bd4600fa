"""Makes side instances and sweeps up what killed commands left of them. Implements ``SideServers`` of the port."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from manor.control.engines.bases import ServerShape
from manor.control.engines.embedded.account import can_enter, choose_account
from manor.control.engines.embedded.layout import Layout, make_state_directory, prepare_folder, state_directory
from manor.control.engines.postgres.programs import Finder
from manor.control.engines.side.instance import PostgresSide
from manor.control.engines.side.programs import find_postgres
from manor.control.engines.side.rooms import FOLDER, hold_room, sweep
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
        prepare_folder(layout)
        home = next((home for home in self._homes(layout) if can_enter(account, home.parent, self.environment)), None)
        home = home or self._state_home(layout)
        home.mkdir(mode=0o711, exist_ok=True)
        home.chmod(0o711)
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
        layout = Layout.of(self.project)
        return [folder for home in {*self._homes(layout), self._state_path(layout)} for folder in sweep(home)]

    def _homes(self, layout: Layout) -> list[Path]:
        """Beside the embedded server's data: there is room for data, and the account can get there. Else in ``.manor``."""
        return [layout.home / FOLDER, layout.folder / FOLDER] if layout.exists else [layout.folder / FOLDER]

    def _state_path(self, layout: Layout) -> Path:
        return state_directory(self.environment) / f"{FOLDER}-{layout.digest}"

    def _state_home(self, layout: Layout) -> Path:
        path = self._state_path(layout)
        make_state_directory(path.parent)
        return path
