"""`manor server`: the embedded PostgreSQL of a project, from nothing to nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest


def test_nothing_is_started_by_looking(draft: Any) -> None:
    """In a fresh project looking says `absent` and that there is nothing yet, and makes no folder."""
    assert draft.json("server", "status", code=4)["state"] == "absent"
    assert draft.json("server", "status", code=4)["log_file"] is None
    for words in (("tenant", "list"), ("audit", "verify"), ("tenant", "url", "x")):
        assert draft.json(*words, code=2)["error"]["code"] == "not_found"
    assert draft.json("audit", "list") == []
    plan = draft.json("multi-tenant", "deploy", "--registry", draft.registry, "--dry-run")
    assert plan["summary"] == {"pending": 5, "skipped": 1}
    assert not (draft.folder / ".manor").exists()


def test_start_status_logs_stop_destroy(draft: Any) -> None:
    """Each says what it did with the exit code of the reference; destroying wants a word of confirmation."""
    try:
        assert draft.json("server", "start")["state"] == "running"
        status = draft.json("server", "status")
        assert status["state"] == "running"
        assert status["pid"] > 0
        assert Path(status["log_file"]).is_file()
        assert "ready to accept connections" in draft("server", "logs", "--lines", 200).stdout
        assert draft.json("doctor")
        assert draft.json("server", "start")["pid"] == status["pid"]
        draft("server", "stop")
        assert draft.json("server", "status", code=4)["state"] == "stopped"
        assert "--confirm" in draft("server", "destroy", code=3).stderr
    finally:
        draft("server", "destroy", "--confirm")
    assert draft.json("server", "status", code=4)["state"] == "absent"


def test_files_that_a_crash_left_behind_are_named_with_their_size(draft: Any) -> None:
    """`server doctor` and `doctor` name the folder that no database refers to, and take no young one for a stray."""
    try:
        base = Path(draft.json("server", "start")["data_directory"]) / "base"
        assert [e["verdict"] for e in draft.json("server", "doctor")] == ["ok"]
        for name, age in (("99999", 3600), ("99998", 0)):
            (base / name).mkdir(mode=0o755)
            (base / name / "1259").write_bytes(bytes(2_000_000))
            os.utime(base / name, (time.time() - age, time.time() - age))
        for words in (("server", "doctor"), ("doctor",)):
            found = [e["message"] for e in draft.json(*words) if e["subject"] == "files"]
            assert found == ["base/99999: 2.0 MB that no database refers to, left by a crash of the server"]
    finally:
        draft("server", "destroy", "--confirm")


@pytest.mark.parametrize("verb", ["stop", "logs"])
def test_verbs_on_a_server_that_is_not_there(draft: Any, verb: str) -> None:
    """Stopping what does not run is done already; there is no log to show."""
    done = draft("server", verb)
    assert done.stderr == ""
