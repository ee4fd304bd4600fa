"""What sources told of a tenant, as people read it."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from manor.cli.tenant_sync import print_told
from manor.control.catalog.records import DirectoryChange, DirectoryRecord
from manor.control.operations.directory_search import Told


def test_mappings_are_shown_as_json_and_lists_as_names(capsys: pytest.CaptureFixture[str]) -> None:
    """As they were written in the source, not as Python has them."""
    values = {"tenant_id": "t1", "instances": ["main", "test"], "billing_info": {"plan": "金", "trial": True, "until": None}}
    record = DirectoryRecord(source="crm", tenant="t1", values=values, operation="op")
    change = DirectoryChange(
        source="crm", tenant="t1", kind="changed", fields={"billing_info": [{"trial": True}, None], "instances": [["a"], ["b"]]}
    )
    moment = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)
    print_told([Told(record=record, history=(replace(change, at=moment),))])
    assert capsys.readouterr().out.splitlines() == [
        "source       crm (present, operation op)",
        "  tenant_id            t1",
        "  instances            main;test",
        '  billing_info         {"plan": "金", "trial": true, "until": null}',
        '  2026-01-31 00:00:00 changed: billing_info: {"trial": true} → none, instances: a → b',
    ]
