"""moto's own tests of DynamoDB, run through our endpoint: somebody else says what the document layer must do.

``moto/aws_verified.txt`` names the tests that must pass on every store: 172 of the 180 that moto's authors ran on AWS.
``moto/differences.yaml`` names every other one of the 708 that does not pass, and says why.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from manor.testing.dynamodb_endpoint import DynamoDBEndpoint

HERE = Path(__file__).parent / "moto"
FOLDER = "tests/test_dynamodb/"
VERIFIED = (HERE / "aws_verified.txt").read_text().split("\n")[:-1]
DIFFERENCES = yaml.safe_load((HERE / "differences.yaml").read_text())


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store of each kind."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("server_url"))
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/documents.db"


@pytest.fixture(scope="session")
def suite(require: Callable[[str], Path]) -> Path:
    """The environment with moto and its tests."""
    return require("moto-suite")


async def outcomes_of(suite: Path, store: str, words: Sequence[str]) -> dict[str, str]:
    """Test → PASSED, FAILED, ERROR or SKIPPED, for moto's tests that ``words`` choose."""
    async with DynamoDBEndpoint(store, tenant="moto", resettable=True) as endpoint:
        process = await asyncio.create_subprocess_exec(
            suite / "bin" / "python", "-m", "pytest", "-p", "manor_plugin", "-p", "no:cacheprovider", "-rA", "-q",
            "--color=no", "--tb=no", "--show-capture=no", "--timeout=120", *words,
            cwd=suite / "suite",
            env=_environment(endpoint.url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
    return read_outcomes(output.decode())


def _environment(url: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "TMPDIR", "LANG"}}
    return own | {
        "PYTHONPATH": str(HERE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "TEST_SERVER_MODE": "true",
        "TEST_SERVER_MODE_ENDPOINT": url,
    }


def read_outcomes(output: str) -> dict[str, str]:
    """What pytest's summary says."""
    lines = re.findall(rf"^(PASSED|FAILED|ERROR) {FOLDER}(.+?)(?: - .*)?$", output, re.MULTILINE)
    assert lines, output[-3000:]
    return {test: outcome for outcome, test in lines}


@pytest.mark.timeout(600)
async def test_what_moto_verified_on_aws_passes_on_every_store(suite: Path, store: str) -> None:
    """The named list, test by test."""
    found = await outcomes_of(suite, store, [FOLDER, "-m", "aws_verified"])
    assert [test for test in VERIFIED if found.get(test) != "PASSED"] == []


def test_the_named_list_has_at_least_170_tests() -> None:
    """The target of the document layer."""
    assert len(set(VERIFIED)) == len(VERIFIED) >= 170


@pytest.mark.nightly
@pytest.mark.timeout(1800)
async def test_every_test_of_moto_that_does_not_pass_is_named_with_its_reason(suite: Path, store: str) -> None:
    """And none is named that does."""
    found = await outcomes_of(suite, store, [FOLDER])
    failed = {test for test, outcome in found.items() if outcome != "PASSED"}
    assert sorted(failed - _named(DIFFERENCES)) == []
    assert sorted(_named(one for one in DIFFERENCES if not one.get("sometimes")) - failed) == []


def _named(differences: Any) -> set[str]:
    return {test for one in differences for test in one["tests"]}
