"""Words that the command line does not understand, told in the format that was asked for."""

from __future__ import annotations

import json

import pytest
import yaml

from manor.cli.failures import run
from manor.cli.main import cli

MISUSES = [
    (("nonsense",), "nonsense"),
    (("multi-tenant", "deploy"), "--registry"),
    (("multi-tenant", "deploy", "--registry", "r.yaml", "--parallel", "0"), "--parallel"),
    (("multi-tenant",), "command"),
    ((), "command"),
    (("tenant", "show"), "TENANT"),
    (("doctor", "--deployment", "main"), "--registry"),
]


@pytest.mark.parametrize("asked", [["--format", "json"], ["--format=json"], ["--format", "yaml"], ["--format=yaml"]])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize(("words", "reason"), MISUSES)
def test_misuse_is_a_document(
    words: tuple[str, ...], reason: str, asked: list[str], before: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """On stdout, with code, message and hint, wherever the format was said; nothing else is."""
    assert run(cli, [*asked, *words] if before else [*words, *asked]) == 2
    told = capfd.readouterr()
    error = (json.loads(told.out) if asked[-1].endswith("json") else yaml.safe_load(told.out))["error"]
    assert error["code"] == "bad_input"
    assert reason in error["message"]
    assert error["hint"].startswith("manor")
    assert told.err == ""


def test_the_last_format_counts_and_an_unknown_one_is_none(capfd: pytest.CaptureFixture[str]) -> None:
    """As everywhere; and words behind ``--`` are no options."""
    assert run(cli, ["--format", "json", "nonsense", "--format", "table"]) == 2
    assert run(cli, ["--format", "xml", "tenant", "list"]) == 2
    assert run(cli, ["tenant", "show", "--", "a", "--format", "json"]) == 2
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("verb", ["show", "url", "rotate-password"])
def test_two_tenants_are_one_too_many(verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither is silently passed over, least of all where a password is changed."""
    assert run(cli, ["tenant", verb, "001", "--tenant-id", "002"]) == 2
    assert "two tenants are named: 001 and --tenant-id 002" in capfd.readouterr().err


def test_psql_takes_its_tenant_as_an_argument_only(capfd: pytest.CaptureFixture[str]) -> None:
    """So nothing can contradict it."""
    assert run(cli, ["tenant", "psql", "--tenant-id", "002", "001"]) == 2
    assert "--tenant-id" in capfd.readouterr().err
