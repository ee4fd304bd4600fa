"""Putting layers together: how the program is called, and what becomes of its failures and rests. A script stands in for it."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from manor.control.engines.side.combine import combine
from manor.control.engines.side.rooms import Room, end_server
from manor.errors import Code, ManorError


@pytest.fixture
def room(tmp_path: Path) -> Room:
    room = Room(folder=tmp_path / "a room")
    for number in (0, 1, 2, 10):
        (room.layers / str(number)).mkdir(parents=True)
    room.data.mkdir()
    return room


def program(room: Room, text: str) -> Path:
    path = room.folder / "pg_combinebackup"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o700)
    return path


def run(room: Room, text: str, major: int = 18) -> None:
    asyncio.run(combine(room, program(room, text), major, os.environ))


def fails(room: Room, text: str) -> ManorError:
    with pytest.raises(ManorError) as caught:
        run(room, text)
    return caught.value


@pytest.mark.parametrize(("major", "sharing"), [(17, []), (18, ["--link"])])
def test_layers_are_given_in_the_order_of_their_numbers_and_go_away(room: Room, major: int, sharing: list[str]) -> None:
    said = room.folder / "said"
    run(room, f'for word in "$@"; do echo "$word"; done > \'{said}\'', major)
    layers = [str(room.layers / number) for number in ("0", "1", "2", "10")]
    expected = ["--no-manifest", "--no-sync", *sharing, f"--output={room.data}", *layers]
    assert said.read_text("utf-8").splitlines() == expected
    assert not room.layers.exists()


def test_what_does_not_belong_together_is_told_with_its_words_and_without_its_warnings(room: Room) -> None:
    error = fails(
        room, "echo 'pg_combinebackup: warning: no manifest' >&2; echo 'pg_combinebackup: error: bad LSN' >&2; exit 1"
    )
    assert error.code is Code.CORRUPT
    assert error.message.endswith("pg_combinebackup: error: bad LSN")


def test_a_full_disk_is_told_as_one(room: Room) -> None:
    error = fails(room, "echo 'could not write: No space left on device' >&2; exit 1")
    assert error.code is Code.EXHAUSTED


def test_a_machine_without_the_program_is_told(room: Room) -> None:
    with pytest.raises(ManorError, match="there is no") as caught:
        asyncio.run(combine(room, room.folder / "nowhere", 18, os.environ))
    assert caught.value.code is Code.NOT_FOUND


def test_what_a_killed_command_left_running_is_ended_with_its_room(room: Room) -> None:
    script = program(room, "while true; do read line; done < /dev/zero")
    orphan = subprocess.Popen([script, f"--output={room.data}", room.layers / "0"], start_new_session=True)
    other = subprocess.Popen([script, f"--output={room.data}er", room.layers / "0"], start_new_session=True)
    try:
        end_server(room)
        assert orphan.wait(10) == -9
        assert other.poll() is None
    finally:
        for process in (orphan, other):
            process.kill()
            process.wait()
