"""Statements outside transactions: who has to be asked about one that failed."""

from __future__ import annotations

import pytest

from manor.control.migrate.apart import is_plainly_undone


@pytest.mark.parametrize(
    ("text", "undone"),
    [
        ("INSERT INTO t VALUES (1)", True),
        ("/* why */ ALTER TYPE mood ADD VALUE 'x'", True),
        ("CALL fill()", False),
        ("-- a block\nDO $$ BEGIN COMMIT; END $$", False),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", False),
        ("VACUUM t", False),
    ],
)
def test_what_the_server_refused_and_left_nothing_of(text: str, undone: bool) -> None:
    """Nobody is asked about a plain statement; of what may commit half-way, or is looked at, the refusal says nothing."""
    assert is_plainly_undone(text) is undone
