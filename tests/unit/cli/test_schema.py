"""``manor schema``: what editors are given."""

from __future__ import annotations

import json

import pytest

from manor.cli.failures import run
from manor.cli.main import cli


def test_the_schema_of_the_registry_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One document on standard output, with the keys of the format."""
    assert run(cli, ["schema", "registry"]) == 0
    assert "database_groups" in json.loads(capsys.readouterr().out)["properties"]
