"""What stands in the comment of a database."""

from __future__ import annotations

import pytest

from manor.control.engines.driver import Marker
from manor.control.engines.postgres.marker import read_marker, read_rights, write_marker, write_rights
from manor.control.engines.swaps import Grant

GRANTS = (
    Grant(role="", privilege="CONNECT"),
    Grant(role='of "theirs", ×', privilege="TEMPORARY", grantable=True),
)


@pytest.mark.parametrize("grants", [(), GRANTS[:1], GRANTS])
def test_rights_that_were_taken_away_are_read_back_from_the_marker(grants: tuple[Grant, ...]) -> None:
    """PUBLIC's, and those of roles with any name."""
    marker = Marker(catalog="c", kind="tenant", tenant="a", closed="operation:token", rights=write_rights(grants))
    found = read_marker(write_marker(marker))
    assert found == marker
    assert read_rights(found.rights) == grants


def test_a_marker_without_rights_does_not_speak_of_them() -> None:
    """Most databases are open: their comment stays short."""
    assert "rights" not in write_marker(Marker(catalog="c", kind="tenant"))
