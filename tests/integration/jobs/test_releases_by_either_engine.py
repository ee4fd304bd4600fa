"""A release goes the same way, whoever carries its batches out: the command itself or workers."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

TENANTS = 12
pytestmark = pytest.mark.server
FAILING = """\
-- migrate:up
SELECT pg_sleep(0.1);
SELECT 1 / count(*) FROM pg_database WHERE datname = current_database() AND datname !~ '_t_[0-9]+$';
"""
"""Succeeds in the golden, where it is rehearsed, and in no tenant."""


def test_every_target_is_migrated_exactly_once(either: Any, version: str) -> None:
    """All targets succeed, and each ran the migration once."""
    either.workers(1)
    either.migration(version, 0.01)
    release = either.release()
    report = json.loads(release.ended())
    assert release.code == 0, report
    assert set(either.counts().values()) == {1}
    assert either.statuses() == {"success": TENANTS}
    assert report["summary"]["success"] == TENANTS


def test_a_pause_stops_between_two_targets_and_resuming_does_the_rest(either: Any, version: str) -> None:
    """Paused: nothing is left in progress; resumed: each target ran the migration once."""
    either.workers(1)
    either.migration(version, 0.6)
    release = either.release("--parallel", 2)
    either.until_some_ended()
    either.want("pause")
    release.ended()
    paused = either.statuses()
    assert set(paused) == {"success", "pending"}
    assert sum(either.counts().values()) == paused["success"] < TENANTS
    either.manor("operation", "resume", either.operation())
    assert set(either.counts().values()) == {1}
    assert either.statuses() == {"success": TENANTS}


def test_an_abort_leaves_the_rest_not_started(either: Any, version: str) -> None:
    """Aborted: what was under way is finished and recorded, the rest was never begun."""
    either.workers(1)
    either.migration(version, 0.6)
    release = either.release("--parallel", 2)
    either.until_some_ended()
    either.want("abort")
    release.ended()
    statuses = either.statuses()
    assert set(statuses) == {"success", "not_started"}
    assert sum(either.counts().values()) == statuses["success"]
    assert either.ask("SELECT count(*) FROM manor.claims") == [(0,)]


def test_ctrl_c_stops_the_release_cleanly(either: Any, version: str) -> None:
    """The coordinator is interrupted: no target is left half-done or unrecorded, whoever moves it."""
    either.workers(1)
    either.migration(version, 0.6)
    release = either.release("--parallel", 2)
    either.until_some_ended()
    release.process.send_signal(signal.SIGINT)
    release.ended()
    statuses = either.statuses()
    assert set(statuses) == {"success", "not_started"}
    assert sum(either.counts().values()) == statuses["success"]


def test_more_failures_than_allowed_stop_it(either: Any, version: str) -> None:
    """With --max-failures 1 the second failure is the last target that is begun (but for those beside it)."""
    either.workers(1)
    either.migration(version, text=FAILING)
    release = either.release("--parallel", 1, "--max-failures", 1)
    release.ended()
    statuses = either.statuses()
    either.forget(version)
    assert release.code == 1, release.output
    assert statuses["error"] in (2, 3), statuses
    assert statuses["not_started"] == TENANTS - statuses["error"]
