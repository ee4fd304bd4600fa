"""A source that is a file is opened as project.yaml says."""

from __future__ import annotations

from pathlib import Path

import pytest

from manor.control.registry.sheets import open_csv
from manor.errors import InputError
from manor.sheet_shapes import CsvSource


async def test_paths_are_relative_to_the_project(tmp_path: Path) -> None:
    """And places call the file as the settings do."""
    (tmp_path / "customers.txt").write_bytes("番号;customer_code;tier\n001;acme;gold\n002;umi;sil ver\n".encode("euc_jp"))
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "001.yaml").write_text("seats: 5\n")
    config = CsvSource.model_validate(
        {
            "csv_path": "./customers.txt",
            "config_dir": "settings",
            "encoding": "euc-jp",
            "delimiter": ";",
            "columns": {"tenant_id": "番号"},
        }
    )
    provider = open_csv(config, tmp_path, name="sales")
    with pytest.raises(InputError) as raised:
        await provider.get_tenant("001")
    assert str(raised.value.place) == "./customers.txt:3:3"
    (tmp_path / "customers.txt").write_bytes("番号;customer_code\n001;acme\n".encode("euc_jp"))
    assert (await provider.get_tenant("001")).customer_code == "acme"
    assert await provider.get_tenant_config("001") == {"seats": 5}
    assert "sales" in repr(provider)
