"""The pages about documents: complete, and their examples run."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from manor.data.documents import faults
from manor.data.documents.capabilities import Capability
from manor.data.documents.query.parser import CONDITION_FUNCTIONS, UPDATE_FUNCTIONS
from manor.data.opening import SCHEMES
from manor.errors import ManorError

DOCS = Path(__file__).parents[3] / "docs"
REFERENCE = (DOCS / "reference" / "documents.md").read_text(encoding="utf-8")
HOW_TO = (DOCS / "how-to" / "store-documents.md").read_text(encoding="utf-8")

ERRORS = [
    one
    for one in vars(faults).values()
    if inspect.isclass(one) and issubclass(one, ManorError) and one.__module__ == faults.__name__
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_every_error_is_documented_with_its_code(error: type[ManorError]) -> None:
    """In the reference."""
    assert re.search(rf"^\| `{error.__name__}` \| `{error.code}` \| \S", REFERENCE, re.MULTILINE)


def test_every_capability_function_and_scheme_is_documented() -> None:
    """In the reference."""
    for capability in Capability:
        assert f"| `{capability}` |" in REFERENCE
    for function in (*CONDITION_FUNCTIONS, *UPDATE_FUNCTIONS):
        assert re.search(rf"{function} ?\(", REFERENCE)
    for scheme in SCHEMES:
        assert f"`{scheme}:" in REFERENCE or scheme == "postgres"


async def test_the_examples_of_the_how_to_run(capsys: pytest.CaptureFixture[str]) -> None:
    """From top to bottom, and print what the page says."""
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", HOW_TO, re.MULTILINE | re.DOTALL))
    names: dict[str, object] = {}
    compiled = compile(code, "store-documents.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(compiled, names)  # noqa: S307 - our own page
    if inspect.iscoroutine(result):
        await result
    (printed,) = re.findall(r"^prints\n\n```\n(.*?)^```", HOW_TO, re.MULTILINE | re.DOTALL)
    assert capsys.readouterr().out == printed
