"""What pgBackRest says, as Manor understands it: its JSON, its errors, and the limits in a control file. No server."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from manor.control.engines.bases import ServerShape
from manor.control.engines.side.pgbackrest import PgBackRest
from manor.control.engines.side.pgbackrest_words import (
    failure,
    read_held,
    read_histories,
    read_segments,
    read_tablespaces,
)
from manor.control.engines.side.settings import Surroundings, raised_limits, render_settings
from manor.control.engines.sides import Replay
from manor.errors import Code, EngineError, NotFoundError

STOP = 1_795_887_128


def backup(label: str, *, repository: int = 1, cluster: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "label": label,
        "archive": {"start": "000000020000000000000002", "stop": "000000020000000000000002"},
        "database": {"id": cluster, "repo-key": repository},
        "error": False,
        "lsn": {"start": "0/2000028", "stop": "0/2000100"},
        "timestamp": {"start": STOP - 7, "stop": STOP},
        **changes,
    }


def info(*backups: dict[str, Any], code: int = 0, clusters: list[dict[str, Any]] | None = None) -> str:
    known = clusters or [{"id": 1, "repo-key": 1, "system-id": 77, "version": "15"}]
    stanza = {"name": "main", "status": {"code": code, "message": "as it is"}, "db": known, "backup": list(backups)}
    return json.dumps([stanza])


def test_a_backup_is_read_and_ends_after_the_second_that_it_names() -> None:
    held = read_held(info(backup("A")), "main", "77")
    assert (held.number, held.archive) == (1, "15-1")
    [found] = held.backups
    assert (found.label, found.timeline, found.start_lsn, found.stop_lsn) == ("A", 2, 0x2000028, 0x2000100)
    assert found.stopped_at == dt.datetime.fromtimestamp(STOP + 1, dt.UTC)


def test_backups_of_a_cluster_before_an_upgrade_and_of_other_repositories_are_left_alone() -> None:
    clusters = [
        {"id": 1, "repo-key": 1, "system-id": 6, "version": "14"},
        {"id": 2, "repo-key": 1, "system-id": 77, "version": "15"},
        {"id": 2, "repo-key": 2, "system-id": 77, "version": "15"},
    ]
    old, second = backup("old"), backup("second", repository=2, cluster=2)
    held = read_held(info(old, second, clusters=clusters), "main", "77")
    assert (held.number, held.archive, [b.label for b in held.backups]) == (2, "15-2", ["second"])
    held = read_held(info(old, second, backup("first", cluster=2), clusters=clusters), "main", "77")
    assert (held.number, [b.label for b in held.backups]) == (1, ["first"])
    assert read_held(info(old, clusters=clusters), "main", "77").backups == []


def test_a_backup_that_cannot_be_replayed_is_named_as_a_problem() -> None:
    held = read_held(info(backup("offline", lsn=None), backup("torn", error=True)), "main", "77")
    assert [b.label for b in held.backups] == ["torn"]
    assert [problem.split()[1] for problem in held.problems] == ["offline", "torn"]


@pytest.mark.parametrize(
    ("text", "stanza", "system", "words"),
    [
        ("[]", "main", "77", "has no stanza main"),
        (info(), "other", "77", "has no stanza other"),
        (info(code=1), "main", "77", "has no stanza main (as it is)"),
        (info(), "main", "78", "of another cluster"),
    ],
)
def test_what_is_not_there_is_told(text: str, stanza: str, system: str, words: str) -> None:
    with pytest.raises(NotFoundError) as raised:
        read_held(text, stanza, system)
    assert words in raised.value.message
    assert "settings.backup.pgbackrest" in raised.value.hint


def test_a_stanza_that_is_not_in_order_is_told() -> None:
    with pytest.raises(EngineError) as raised:
        read_held(info(code=99), "main", "77")
    assert "check" in raised.value.hint


def test_segments_are_found_in_any_compression_and_nothing_else_counts() -> None:
    digest = "ab" * 20
    names = {
        f"0000000100000000/000000010000000000000001-{digest}.gz": 10,
        f"0000000100000000/000000010000000000000002-{digest}": 20,
        f"0000000100000000/000000010000000000000003.partial-{digest}.gz": 30,
        "0000000100000000/000000010000000000000002.00000028.backup": 40,
        "00000002.history": 50,
    }
    listing = json.dumps({".": {"type": "path"}, **{n: {"type": "file", "size": 1, "time": at} for n, at in names.items()}})
    moments = {name: at.timestamp() for name, at in read_segments(listing).items()}
    assert moments == {"000000010000000000000001": 10, "000000010000000000000002": 20}
    assert read_histories(listing) == ["00000002.history"]


def test_tablespaces_of_a_backup_are_read() -> None:
    assert read_tablespaces(json.dumps([{"backup": [{"tablespace": None}]}])) == ()
    assert read_tablespaces(json.dumps([{"backup": [{"tablespace": [{"name": "fast", "oid": 1}]}]}])) == ("fast",)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (
            "ERROR: [046]: unexpected control version = 1800\n   HINT: is this version of PostgreSQL supported?",
            Code.UNSUPPORTED,
        ),
        ("ERROR: [041]: unable to open file '/x' for read: [13] Permission denied", Code.DENIED),
        ("ERROR: [055]: unable to open missing file '/x' for read", Code.NOT_FOUND),
        ("ERROR: [039]: unable to write '/x': [28] No space left on device", Code.EXHAUSTED),
        ("ERROR: [099]: something else\n   HINT: do this", Code.INTERNAL),
        ("", Code.INTERNAL),
    ],
)
def test_failures_have_a_kind_and_name_the_server(said: str, code: Code) -> None:
    error = failure("server main", "listing backups", 99, said)
    assert error.code is code
    assert error.message.startswith("server main: ")


def test_limits_are_raised_to_those_of_the_cluster_and_never_lowered() -> None:
    said = (
        "max_connections setting:              100\nmax_prepared_xacts setting:           7\nmax_locks_per_xact setting:   64\n"
    )
    limits = {"max_connections": 200, "max_prepared_transactions": 0, "max_locks_per_transaction": 64, "max_wal_senders": 3}
    assert raised_limits(limits, said) == {**limits, "max_prepared_transactions": 7}


def test_the_command_that_fetches_segments_survives_any_path_and_ends_the_replay_where_it_fails(tmp_path: Path) -> None:
    (tmp_path / "pgbackrest").touch(mode=0o755)
    source = PgBackRest(
        server="main", stanza="main", config="/a b/100%.conf", project=tmp_path, environment={"PATH": str(tmp_path)}
    )
    command = source.restore_command(Path("/side/da ta"))
    assert "'--config=/a b/100%%.conf'" in command
    assert "'--pg1-path=/side/da ta'" in command
    assert "--no-archive-async" in command
    assert command.endswith(' archive-get %f "%p" || { test $? -eq 1 && exit 1; exit 126; }')


def test_where_the_whole_cluster_is_there_no_page_may_be_missing() -> None:
    shape = ServerShape(system="7", major=15, segment_bytes=1 << 24, limits={}, superuser="postgres")
    replay = Replay(
        setting="recovery_target_name", value="x", timeline=1, segments=[], restore_command="fetch '%f'", whole=True
    )
    text = render_settings(shape, replay, Surroundings(socket_directory="/tmp/x", cluster_name="side"))
    assert "restore_command = 'fetch ''%f'''\n" in text
    assert "ignore_invalid_pages = 'off'\n" in text
