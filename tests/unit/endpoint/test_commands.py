"""``manor data``, in this process."""

from __future__ import annotations

import json

import pytest

from manor.cli.data import EXAMPLES
from manor.cli.failures import run
from manor.cli.main import cli
from manor.data.documents.capabilities import Capability
from manor.data.opening import SCHEMES


def test_capabilities_are_those_that_drivers_declare_with_the_number_of_cases_that_prove_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As JSON, one object for each capability."""
    assert run(cli, ["data", "capabilities", "--backend", "memory", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["capability"] for one in told] == [capability.value for capability in Capability]
    assert all(one["cases"] > 0 and one["memory"]["degree"] == "full" for one in told)


def test_every_kind_of_store_is_in_the_table() -> None:
    """But for the second spelling of one."""
    assert EXAMPLES.keys() == SCHEMES.keys() - {"postgres"}


@pytest.mark.parametrize("missing", ["--store", "--tenant"])
def test_serve_needs_a_store_and_a_tenant(missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is served to nobody."""
    given = {"--store": "memory://", "--tenant": "acme"}
    words = [word for name, value in given.items() if name != missing for word in (name, value)]
    assert run(cli, ["data", "serve", *words]) == 2
    assert missing in capsys.readouterr().err
