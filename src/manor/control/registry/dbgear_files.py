"""DBGear's declaration of databases as a registry: ``tenant.yaml``, and the template folders that say ``deploy: true``.

Either ``tenant.yaml`` or ``environ.yaml`` of an environment can be named where Manor wants a registry. What they say becomes
the value of a registry with fixed groups: one per entry of ``tenant.yaml``, and ``databases`` for the folders. Places stay
those of DBGear's own files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from manor.control.templates.dbgear_rows import TENANT_NAME
from manor.control.templates.mapping import FILE_NAME as MAPPING_FILE
from manor.errors import Finding, InputError, Place
from manor.tenancy import id_part_problem
from manor.typed_input import DbgearModel, check
from manor.yaml_reader import YamlDocument, read_yaml

TENANT_FILE = "tenant.yaml"
ENVIRON_FILE = "environ.yaml"
FILE_NAMES = frozenset({TENANT_FILE, ENVIRON_FILE})
FOLDERS_GROUP = "databases"
"""The group of the folders that are databases themselves."""


class DatabaseEntry(DbgearModel):
    """One database of a tenant."""

    database: str
    """Its name."""
    description: str | None = None
    """Any text."""
    active: bool = True
    """Whether it is deployed."""


class TenantEntry(DbgearModel):
    """One tenant of DBGear's: databases made from one template folder."""

    ref: str
    """The template folder."""
    databases: str | list[DatabaseEntry]
    """The databases. The name of a Python module, which DBGear would run, is refused."""
    data_args: Any = None
    """Arguments for such a module."""


class TenantFile(DbgearModel):
    """The keys of DBGear's `tenant.yaml`."""

    tenants: dict[str, TenantEntry] = Field(default_factory=dict)
    """Tenants by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DbgearRegistry:
    """The value of a registry, and where DBGear's files say what."""

    value: Mapping[str, Any]
    findings: tuple[Finding, ...]
    places: Mapping[tuple[str, int], Place]
    """By group and number of the database."""
    file: str

    def place(self, path: Sequence[str | int] = (), *, key: bool = False) -> Place:  # noqa: ARG002 - a Places
        """Where the value at ``path`` of the registry was said; the file itself where no one place says it."""
        group, index = (path[1], path[3]) if len(path) > 3 else (path[1], 0) if len(path) > 1 else ("", 0)
        return self.places.get((str(group), int(index)), Place(self.file))


def is_dbgear_file(path: Path) -> bool:
    """Whether ``path`` names one of DBGear's files and not a registry."""
    return path.name in FILE_NAMES


def read_dbgear(path: Path, *, shown_as: str = "") -> DbgearRegistry:
    """What DBGear would deploy into the environment that ``path`` (one of ``FILE_NAMES``) belongs to.

    Raises ``InputError`` for a file that is not YAML; everything else that is wrong is a finding.
    """
    reading = _Reading(path.parent, shown_as or str(path))
    reading.folders()
    reading.tenants()
    groups = {name: {"type": "fixed_group", "databases": entries} for name, entries in reading.groups.items()}
    value = {
        "registry_version": "2.0",
        "customer_info": {"customer_code": _customer_code(path.parent)},
        "database_groups": groups,
    }
    return DbgearRegistry(value=value, findings=tuple(reading.findings), places=reading.places, file=reading.shown(path.name))


@dataclass(slots=True)
class _Reading:
    environment: Path
    shown_as: str
    groups: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    places: dict[tuple[str, int], Place] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def shown(self, name: str) -> str:
        return (Path(self.shown_as).parent / name).as_posix()

    def add(self, group: str, database: str, template: str, tenant_name: str, place: Place) -> None:
        entries = self.groups.setdefault(group, [])
        self.places[group, len(entries)] = place
        variables = {TENANT_NAME: _literal(tenant_name)}
        entries.append({"name": _literal(database), "template": template, "variables": variables})

    def folders(self) -> None:
        """Folders whose mapping says ``deploy: true`` are databases of the folder's name."""
        for path in sorted(self.environment.glob(f"*/{MAPPING_FILE}")):
            document = self.read(path, f"{path.parent.name}/{MAPPING_FILE}")
            if document is not None and isinstance(document.value, dict) and document.value.get("deploy") is True:
                name = path.parent.name
                self.add(FOLDERS_GROUP, name, name, f"${TENANT_NAME}", document.place(("deploy",), key=True))

    def tenants(self) -> None:
        """The databases of ``tenant.yaml``."""
        path = self.environment / TENANT_FILE
        document = self.read(path, TENANT_FILE) if path.exists() else None
        if document is None:
            return
        file, problems = check(TenantFile, {} if document.value is None else document.value, document)
        self.findings += [problem.finding for problem in problems]
        for name, tenant in (file.tenants if file is not None else {}).items():
            self.tenant(name, tenant, document)

    def tenant(self, name: str, tenant: TenantEntry, document: YamlDocument) -> None:
        path = ("tenants", name, "databases")
        if isinstance(tenant.databases, str):
            message = f"tenant {name}: databases names the Python module {tenant.databases!r}, which is not run"
            hint = "list the databases here, or take them from a source: manor tenant sync"
            self.findings.append(Finding(message=message, place=document.place(path), hint=hint))
            return
        if name == FOLDERS_GROUP and FOLDERS_GROUP in self.groups:
            message = f"the tenant {name!r} and the folders with deploy: true would share one group"
            self.findings.append(Finding(message=message, place=document.place(path[:2], key=True), hint="rename the tenant"))
            return
        self.groups.setdefault(name, [])
        for index, entry in enumerate(tenant.databases):
            if entry.active:
                self.add(name, entry.database, tenant.ref, entry.database, document.place((*path, index)))

    def read(self, path: Path, name: str) -> YamlDocument | None:
        try:
            return read_yaml(path, shown_as=self.shown(name))
        except InputError as error:
            place = error.place or Place(self.shown(name))
            self.findings.append(Finding(message=error.message, place=place, hint=error.hint))
            return None


def _literal(text: str) -> str:
    """Text that a registry takes as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def _customer_code(environment: Path) -> str:
    """The project's name, where it can be part of an id, else that of its folder."""
    project = next((f for f in environment.absolute().parents if (f / "project.yaml").is_file()), environment.absolute().parent)
    names = [_project_name(project), project.name]
    return next((name for name in names if id_part_problem(name) is None), "dbgear")


def _project_name(project: Path) -> str:
    try:
        value = read_yaml(project / "project.yaml").value
    except InputError:
        return ""
    return str(value.get("project_name") or value.get("projectName") or "") if isinstance(value, dict) else ""
