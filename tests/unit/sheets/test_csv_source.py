"""A CSV file and a worksheet are sources like all others."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from manor.control.registry.provider import TenantRegistryProvider
from manor.control.registry.sheets import CSVTenantProvider
from manor.control.registry.tenant_info import FIELDS
from manor.testing.sources import Row, SourceBench, SourceSuite


def cell_of(value: Any) -> Any:
    """A value of JSON as somebody writes it into a table."""
    if isinstance(value, list):
        return ";".join(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value


def write_configs(folder: Path, configs: Mapping[str, Mapping[str, Any]]) -> Path:
    """YAML and JSON by turns."""
    folder.mkdir()
    for number, (tenant_id, config) in enumerate(configs.items()):
        ending = (".json", ".yaml")[number % 2]
        (folder / f"{tenant_id}{ending}").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    return folder


class CsvBench:
    """Writes a CSV file."""

    def __init__(self, folder: Path, encoding: str = "utf-8") -> None:
        self.folder = folder
        self.encoding = encoding

    @contextlib.asynccontextmanager
    async def open(
        self, rows: Sequence[Row], configs: Mapping[str, Mapping[str, Any]] = {}
    ) -> AsyncIterator[TenantRegistryProvider]:
        path = self.folder / "tenants.csv"
        with path.open("w", encoding=self.encoding, newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows({field: cell_of(value) for field, value in row.items()} for row in rows)
        provider = CSVTenantProvider(path, write_configs(self.folder / "configs", configs), settle_seconds=0)
        yield provider
        await provider.aclose()


class SheetBench:
    """Writes a workbook."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.asynccontextmanager
    async def open(
        self, rows: Sequence[Row], configs: Mapping[str, Mapping[str, Any]] = {}
    ) -> AsyncIterator[TenantRegistryProvider]:
        path = self.folder / "tenants.xlsx"
        book = openpyxl.Workbook(write_only=True)
        sheet = book.create_sheet("Tenants")
        sheet.append(FIELDS)
        for row in rows:
            sheet.append([cell_of(row.get(field)) for field in FIELDS])
        book.save(path)
        yield CSVTenantProvider(path, write_configs(self.folder / "configs", configs), settle_seconds=0)


class TestHeldCsv(SourceSuite):
    """The suite, with a file that is held in memory."""

    @pytest.fixture
    def bench(self, tmp_path: Path) -> SourceBench:
        return CsvBench(tmp_path)


class TestLargeCsv(SourceSuite):
    """The suite, with a file that is too large to be held."""

    @pytest.fixture
    def bench(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SourceBench:
        monkeypatch.setattr("manor.control.registry.sheets.provider.MOST_HELD", -1)
        return CsvBench(tmp_path, "utf-8-sig")


class TestSheet(SourceSuite):
    """The suite, with a worksheet."""

    @pytest.fixture
    def bench(self, tmp_path: Path) -> SourceBench:
        return SheetBench(tmp_path)
