"""The fleet of these tests; what may be asked of it is in ``restore_fixtures``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import restore_fixtures as fixtures


@pytest.fixture
def fleet(tmp_path: Path, server_url: str) -> fixtures.Fleet:
    """Three tenants of a new fleet."""
    return fixtures.build(tmp_path / "project", server_url)


@pytest.fixture
def outcome() -> Callable[[Any], dict[str, Any]]:
    """The only outcome of a report."""

    def only(document: Any) -> dict[str, Any]:
        (found,) = document["outcomes"]
        assert isinstance(found, dict)
        return found

    return only
