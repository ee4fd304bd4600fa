"""Events become lines of a log from the level on that the project says."""

from __future__ import annotations

import pytest

from manor.cli.log_lines import log_hook
from manor.telemetry import Event

EVENTS = ("operation.started", "operation.interrupted", "target.cloned", "source.disagreed", "source.filtered_here")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("DEBUG", ["INFO operation.started", "WARNING operation.interrupted", "DEBUG target.cloned", "WARNING", "INFO"]),
        ("INFO", ["INFO operation.started", "WARNING operation.interrupted", "WARNING source", "INFO source"]),
        ("WARNING", ["WARNING operation.interrupted", 'WARNING source.disagreed op one {"tenants": 2}']),
        ("ERROR", []),
    ],
)
def test_events_of_a_level_and_above_are_written(capsys: pytest.CaptureFixture[str], level: str, expected: list[str]) -> None:
    """To standard error, one line each."""
    write = log_hook(level)
    for kind in EVENTS:
        write(Event(kind=kind, operation="op", subject="one", details={"tenants": 2}))
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert len(lines) == len(expected)
    assert all(words in line for words, line in zip(expected, lines, strict=True))
