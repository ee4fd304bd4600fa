"""A project in a temporary folder, written file by file."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from manor.control.templates.loader import TemplateLoader
from manor.control.templates.model import Template
from manor.errors import Place


class Project:
    """The project; its environment is the folder ``customer_a``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "customer_a").mkdir(parents=True)
        self.loader = TemplateLoader(project=root, environment=root / "customer_a")

    def write(self, files: dict[str, str | bytes]) -> None:
        """Write files: path to text (dedented) or bytes."""
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else textwrap.dedent(content).encode())

    def template(self, files: dict[str, str | bytes], name: str = "shop") -> None:
        """Write files of one template; without a mapping of its own it takes the schema ``main``."""
        self.write(
            {
                f"customer_a/{name}/{file}": content
                for file, content in ({"_mapping.yaml": "instances: [main]\n"} | files).items()
            }
        )

    def tables(self, columns: dict[str, str]) -> None:
        """Write the project's schema.yaml: table to its columns as lines of YAML flow mappings without braces."""
        lines = ["schemas:", "  main:", "    tables:"]
        for table, text in columns.items():
            lines += [f"      {table}:", "        columns:"]
            lines += [f"          - {{{line.strip()}}}" for line in text.strip().splitlines()]
        self.write({"schema.yaml": "\n".join(lines) + "\n"})

    def fresh(self, **options: bool) -> None:
        """Forget what was loaded."""
        self.loader = TemplateLoader(project=self.root, environment=self.root / "customer_a", **options)

    def load(self, name: str = "shop", used_at: Place | None = None) -> Template | None:
        return self.loader.load(name, used_at=used_at)

    def loaded(self, name: str = "shop") -> Template:
        """The template, which must be without findings."""
        template = self.load(name)
        assert self.said == []
        assert template is not None
        return template

    def findings(self, name: str = "shop") -> list[str]:
        """What loading it says."""
        self.load(name)
        return self.said

    @property
    def said(self) -> list[str]:
        return [str(finding) for finding in self.loader.findings]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "my project")
