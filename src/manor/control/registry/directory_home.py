"""The home of tenants that a source told of: what catalog entries call their source, and the settings that apply to them.

Such tenants stand in no registry file. How they are run (parallelism, hooks, releases) is what the ``tenant_registry.yaml`` of
their environment says, where it has one; its groups are none of theirs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from manor.control.registry.model import CustomerInfo, Registry
from manor.control.registry.yaml_files import LoadedRegistry, load_registry
from manor.errors import InputError, InvalidInput

REGISTRY_FILE = "tenant_registry.yaml"
_PREFIX = "directory:"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def check_source_name(name: str) -> None:
    """Raise ``InputError`` for what cannot be the name of a source."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name[:80]!r} cannot be the name of a source", hint="up to 64 letters, digits, '_', '-' and '.', such as crm"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryHome:
    """``directory:customer_a/crm``: the tenants of one source, in one environment."""

    environment: str
    """Its folder, relative to the project; ``.`` where that is the project itself."""
    source: str

    def __str__(self) -> str:
        return f"{_PREFIX}{self.environment}/{self.source}"

    @classmethod
    def parse(cls, text: str) -> DirectoryHome | None:
        """What ``str`` gave; None for the path of a registry."""
        if not text.startswith(_PREFIX):
            return None
        environment, _, source = text.removeprefix(_PREFIX).rpartition("/")
        return cls(environment=environment or ".", source=source)

    @classmethod
    def at(cls, project: Path, environment: Path, source: str) -> DirectoryHome:
        """The home in one environment's folder."""
        inside = environment.is_relative_to(project)
        return cls(environment=environment.relative_to(project).as_posix() if inside else ".", source=source)

    @property
    def registry_shown_as(self) -> str:
        """How messages name the registry of the environment."""
        return f"{self.environment}/{REGISTRY_FILE}".removeprefix("./")

    def folder(self, project: Path) -> Path:
        """The environment's folder."""
        return project / self.environment


def load_home_settings(folder: Path, shown_as: str) -> tuple[Registry, LoadedRegistry | None]:
    """The settings of an environment's registry without its groups, and the registry as it was read; the defaults and None
    where there is no such file. Raises ``InvalidInput`` with all findings."""
    path = folder / REGISTRY_FILE
    if not path.is_file():
        return Registry(registry_version="2.0", customer_info=CustomerInfo(customer_code="directory"), database_groups={}), None
    loaded = load_registry(path, shown_as=shown_as)
    if loaded.model is None or loaded.findings:
        raise InvalidInput(loaded.findings)
    return loaded.model.model_copy(update={"database_groups": {}}), loaded
