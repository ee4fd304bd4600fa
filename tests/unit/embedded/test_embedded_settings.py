"""The texts that the embedded server is configured by."""

import pytest

from manor.control.engines.embedded.settings import ACCESS, EmbeddedSettings, Surroundings, render_identities, render_settings
from manor.errors import InputError


def around(**changes: object) -> Surroundings:
    values: dict[str, object] = {
        "cluster_name": "manor-0123456789ab",
        "socket_directory": "/tmp/manor-1000-0123456789ab",
        "major": 18,
        "linux": True,
        "clones_files": False,
    }
    return Surroundings(**{**values, **changes})  # type: ignore[arg-type]


def render(settings: EmbeddedSettings | None = None, **changes: object) -> dict[str, str]:
    lines = render_settings(settings or EmbeddedSettings(), around(**changes)).splitlines()
    pairs = [line.split(" = ", 1) for line in lines if " = " in line]
    return {name: value[1:-1] for name, value in pairs}


def test_archiving_off_is_a_command_that_succeeds_because_an_empty_one_would_keep_every_segment() -> None:
    assert render()["archive_command"] == "true"
    assert render()["archive_mode"] == "on"


def test_archiving_on_changes_the_command_only_so_that_a_reload_is_enough() -> None:
    off, on = render(), render(EmbeddedSettings(archive=True))
    assert {name for name in off if off[name] != on[name]} == {"archive_command", "summarize_wal"}


def test_a_quote_in_a_value_is_doubled() -> None:
    assert render(socket_directory="/tmp/it's")["unix_socket_directories"] == "\"/tmp/it''s\""


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"linux": True}, "recovery_init_sync_method", "syncfs"),
        ({"linux": False}, "recovery_init_sync_method", "fsync"),
        ({"clones_files": True}, "file_copy_method", "clone"),
        ({"clones_files": False}, "file_copy_method", "copy"),
        ({"major": 16}, "file_copy_method", None),
    ],
)
def test_the_machine_decides_what_only_it_can(changes: dict[str, object], name: str, value: str | None) -> None:
    assert render(**changes).get(name) == value


@pytest.mark.parametrize(
    "wrong",
    [
        {"shared_buffers": "lots"},
        {"shared_buffers": "128MB'\nfsync = 'off"},
        {"work_memory": "0MB"},
        {"max_wal_size": "4 GB"},
        {"max_connections": 3},
        {"max_prepared_transactions": -1},
        {"start_timeout_seconds": 0},
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_its_name(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        EmbeddedSettings(**wrong)  # type: ignore[arg-type]


def test_only_the_administrator_gets_in_without_a_password_and_nobody_over_the_network() -> None:
    lines = [line.split() for line in ACCESS.splitlines() if not line.startswith("#")]
    assert {line[0] for line in lines} == {"local"}
    assert [line[2] for line in lines if line[3] == "peer"] == ["manor_admin", "manor_admin"]
    assert [line[3] for line in lines if line[2] == "all"] == ["scram-sha-256"]


def test_user_names_of_the_system_are_quoted_sorted_and_named_once() -> None:
    text = render_identities(["root", 'DOM\\it"s me', "root"])
    assert text.splitlines()[1:] == ['manor "DOM\\it""s me" manor_admin', 'manor "root" manor_admin']
