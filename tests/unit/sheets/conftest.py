"""Tables of tenants as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manor.control.registry.sheets import CSVTenantProvider

Write = Callable[..., CSVTenantProvider]


@pytest.fixture
def sheet(tmp_path: Path) -> Write:
    """A source over a file with this text; a file that was just written is not waited for."""

    def write(content: str | bytes, written: str = "utf-8", *, name: str = "tenants.csv", **options: Any) -> CSVTenantProvider:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode(written))
        return CSVTenantProvider(path, shown=name, **{"settle_seconds": 0, **options})

    return write
