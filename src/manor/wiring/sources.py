"""Stand-in until the sources are merged."""

from __future__ import annotations

from pathlib import Path

from manor.control.registry.provider import TenantRegistryProvider
from manor.errors import NotFoundError
from manor.settings import Project


def open_source(project: Project, name: str, config_file: Path | None = None) -> TenantRegistryProvider:
    """The source of that name."""
    raise NotFoundError(f"there is no source {name!r} in {project.name}: {config_file}")
