"""Which folders hold the side instances of a project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from manor.control.engines.embedded.account import Account, can_enter
from manor.control.engines.embedded.layout import Layout, make_state_directory, prepare_folder, state_directory
from manor.control.engines.side.rooms import FOLDER, sweep


def prepare_home(layout: Layout, account: Account, environment: Mapping[str, str]) -> Path:
    """A folder that the account can reach, made if it is missing."""
    prepare_folder(layout)
    *beside, last = _homes(layout, environment)
    home = next((home for home in beside if can_enter(account, home.parent, environment)), last)
    if home == last:
        make_state_directory(home.parent)
    home.mkdir(mode=0o711, exist_ok=True)
    home.chmod(0o711)
    return home


def sweep_homes(project: Path, environment: Mapping[str, str]) -> list[Path]:
    """End and remove what killed commands left in any of them; returns the folders that were removed."""
    return [folder for home in _homes(Layout.of(project), environment) for folder in sweep(home)]


def _homes(layout: Layout, environment: Mapping[str, str]) -> list[Path]:
    """Beside the embedded server's data: there is room for data, and the account can get there. Else in ``.manor``, else where
    everything goes that an account cannot reach in the project."""
    beside = {layout.home / FOLDER, layout.folder / FOLDER} if layout.exists else {layout.folder / FOLDER}
    return [
        *sorted(beside, key=lambda home: home.parent != layout.home),
        state_directory(environment) / f"{FOLDER}-{layout.digest}",
    ]
