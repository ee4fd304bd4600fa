"""A project in a temporary folder, written file by file."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from manor.control.templates.loader import TemplateLoader
from manor.control.templates.model import Template

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write files: path → text (dedented) or bytes."""

    def write(files: dict[str, str | bytes]) -> None:
        for name, content in files.items():
            path = tmp_path / "project" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())

    return write


@pytest.fixture
def loader(tmp_path: Path) -> Callable[..., TemplateLoader]:
    """A loader of the project; its environment is the folder ``customer_a``."""

    def make(environment: str = "customer_a", **options: bool) -> TemplateLoader:
        project = tmp_path / "project"
        project.mkdir(exist_ok=True)
        return TemplateLoader(project=project, environment=project / environment, **options)

    return make


def said(loader: TemplateLoader) -> list[str]:
    """The findings as the user reads them."""
    return [str(finding) for finding in loader.findings]


def loaded(loader: TemplateLoader, name: str) -> Template:
    """The template, which must be without findings."""
    template = loader.load(name)
    assert said(loader) == []
    assert template is not None
    return template
