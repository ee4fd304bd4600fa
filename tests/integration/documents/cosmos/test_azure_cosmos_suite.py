"""Our gateway, judged by azure-cosmos's own tests: without them it would only prove that we agree with ourselves."""

from __future__ import annotations

import asyncio
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pytest

from manor.testing.cosmos_gateway import CosmosGateway

HERE = Path(__file__).parent
PASSING = HERE / "passing.txt"
"""The pinned list: what stands in it must pass. docs/reference/conformance-cosmos.md says what is not in it, and why."""


def listed() -> list[str]:
    """The ids of tests, as pytest takes them."""
    return [line for line in PASSING.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]


async def outcomes(suite: Path, url: str, report: Path) -> tuple[set[str], set[str], str]:
    """The names of tests that passed and that did not, and the end of the output."""
    tests = suite / "source" / "tests"
    command = [
        str(suite / "bin" / "python"), "-m", "pytest", *listed(), "-c", os.devnull, "--rootdir", ".", "-p", "restore_mocks",
        "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "-W", "ignore", "--timeout", "60", "-q", "--tb", "line",
        f"--junitxml={report}",
    ]  # fmt: skip
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))},
        "ACCOUNT_HOST": f"{url}/", "ACCOUNT_KEY": "a2V5", "PYTHONPATH": f"{HERE / 'stand_ins'}{os.pathsep}{tests}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command, cwd=tests, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 - pytest wrote it just now
    good = {_name(case) for case in cases if not len(case) or all(child.tag.startswith("system") for child in case)}
    return good, {_name(case) for case in cases} - good, output.decode(errors="replace")[-3000:]


def _name(case: ElementTree.Element) -> str:
    module, *parts = (case.get("classname") or "").split(".")
    return "::".join([f"{module}.py", *parts, case.get("name") or ""])


@pytest.mark.timeout(400)
async def test_the_gateway_passes_the_listed_tests_of_azure_cosmos(require: Callable[[str], Path], tmp_path: Path) -> None:
    """All of the list, none skipped."""
    suite = require("cosmos-suite")
    async with CosmosGateway() as gateway:
        good, bad, output = await outcomes(suite, gateway.url, tmp_path / "report.xml")
    assert not bad, output
    assert good == set(listed())
