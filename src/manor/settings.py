"""Settings of a project and of one environment: found, read once, checked, and frozen.

Assumes one folder per environment below the project's root. Without a ``project.yaml`` the folder itself is the project;
without an ``environ.yaml``, or without a deployment in it, the embedded PostgreSQL is the only server. Passwords never reach a
message or a ``repr``. pydantic is imported only when a file is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from manor.errors import InputError, InvalidInput, NotFoundError, Place, UnsupportedError
from manor.fleet_settings import FleetSettings, SourceSettings, fleet_settings, source_findings, source_settings
from manor.settings_files import checked_settings, expanded_document, settings_document
from manor.unset_sources import hold_back
from manor.yaml_reader import YamlDocument

if TYPE_CHECKING:
    from manor.settings_shapes import BackupBlock, EmbeddedBlock, EnvironFile, ProjectFile

PROJECT_FILE = "project.yaml"
ENVIRON_FILE = "environ.yaml"
EMBEDDED = "embedded"
"""Name of the deployment that is there when none is declared."""

_POSTGRES_SCHEMES = frozenset({"postgresql", "postgres"})
_LATER_SCHEMES = ("mysql", "mariadb")
_SECRET_PARAMETER = re.compile(r"([?&;](?:password|sslpassword|passwd|pwd)=)[^&;#]*", re.IGNORECASE)
_KEYWORD_PASSWORD = re.compile(r"\b((?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)", re.IGNORECASE)

_WAITING = frozenset({"enabled", "metrics_endpoint"})
"""Keys of ``monitoring`` that nothing acts on yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedSettings:
    """The PostgreSQL that Manor brings along. Memory sizes are PostgreSQL's spellings, such as ``128MB``."""

    archive: bool | None = None
    """None: while there are base backups."""
    shared_buffers: str = "128MB"
    max_connections: int = 200
    max_prepared_transactions: int = 200
    max_wal_size: str = "2GB"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """When ``manor worker`` does what, as cron spells it; None: never."""

    backup: str | None = None
    base: str | None = None
    catalog: str | None = None
    drill: str | None = None
    prune: str | None = None
    tz: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class PgBackRestSettings:
    """Where pgBackRest keeps a server's backups."""

    stanza: str
    config: str | None = None
    """Path of its configuration, relative to the project; None: its own default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupSettings:
    """Where backups go, and for how long they are kept; 0: that rule keeps none."""

    location: str | None = None
    """None: ``.manor/backups`` of the project."""
    encrypt: bool = False
    parallel: int = 4
    lock_timeout_seconds: int = 10
    keep_last: int = 7
    keep_days: int = 0
    keep_weekly: int = 0
    keep_bases: int = 2
    base_increments: int = 0
    drill_sample: int = 5
    schedules: ScheduleSettings = field(default_factory=ScheduleSettings)
    pgbackrest: Mapping[str, PgBackRestSettings] = field(default_factory=dict)
    """By deployment; the others have base backups of Manor's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureSettings:
    """What is erased with a tenant, and when."""

    storage: tuple[str, ...] = ()
    """Locations with ``{tenant_id}`` and the like."""
    grace_days: int = 0
    require_final_export: bool = False
    schedule: str | None = None
    """When ``manor worker`` erases who is due, as cron spells it; None: never."""
    tz: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The block ``settings`` of an environment; times in seconds."""

    embedded: EmbeddedSettings = field(default_factory=EmbeddedSettings)
    backup: BackupSettings = field(default_factory=BackupSettings)
    erasure: ErasureSettings = field(default_factory=ErasureSettings)
    lock_wait_seconds: int = 30
    connect_timeout_seconds: int = 10
    restore_grace_seconds: int = 86_400
    job_engine: str = "inline"
    """``inline`` or ``pgqueuer``."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """DBGear's: what ``$name`` means in the rows of its templates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """DBGear's options."""

    create_foreign_key_constraints: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """One server that holds tenant databases: a URL, or the embedded PostgreSQL (``url`` is None)."""

    name: str
    url: str | None = field(default=None, repr=False)
    embedded: bool = False

    def __str__(self) -> str:
        return f"{self.name} ({redact_url(self.url) if self.url else EMBEDDED})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """The root folder and what its ``project.yaml`` says."""

    folder: Path
    name: str
    description: str = ""
    options: Options = field(default_factory=Options)
    declared: bool = False
    """Whether there is a ``project.yaml``."""
    fleet: FleetSettings = field(default_factory=FleetSettings)
    """The block ``multi_tenant``."""
    not_acted_on: tuple[str, ...] = ()
    """Keys that were accepted and that nothing acts on yet, dotted."""

    def shown(self, path: Path) -> str:
        """How messages name a path: relative to the project where it lies inside, with ``/``."""
        absolute = _absolute(path)
        inside = absolute.is_relative_to(self.folder)
        return (absolute.relative_to(self.folder) if inside else absolute).as_posix()


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One environment: its servers and settings."""

    folder: Path
    name: str
    description: str = ""
    deployments: tuple[Deployment, ...] = (Deployment(name=EMBEDDED, embedded=True),)
    """At least one."""
    catalog_url: str | None = field(default=None, repr=False)
    """Server of the catalog; None means the first deployment."""
    settings: Settings = field(default_factory=Settings)
    options: Options = field(default_factory=Options)
    """The project's, overridden by the environment's."""

    def deployment(self, name: str) -> Deployment:
        """Raises ``NotFoundError`` for a name that is not among the deployments."""
        for deployment in self.deployments:
            if deployment.name == name:
                return deployment
        names = ", ".join(deployment.name for deployment in self.deployments)
        raise NotFoundError(f"there is no deployment {name!r}", hint=f"known here: {names}")


def _absolute(path: Path) -> Path:
    """Absolute and without ``..``; symbolic links stay, because people know their folders by those names."""
    return Path(os.path.normpath(path.absolute()))


def redact_url(url: str) -> str:
    """The URL (or libpq keyword string) without a password. What looks malformed loses rather more than less."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _KEYWORD_PASSWORD.sub(r"\1***", url)
    login, at, place = rest.rpartition("@")
    if at and ":" in login:
        rest = f"{login.partition(':')[0]}:***@{place}"
    return f"{scheme}://" + _SECRET_PARAMETER.sub(r"\1***", rest)


def find_project(
    start: Path,
    explicit: Path | None = None,
    registry: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Project:
    """The project: ``explicit``, else the nearest folder upwards with a ``project.yaml``, else the registry's own folder.

    The search begins at the registry's folder where there is one, otherwise at ``start``. ``environment`` holds the variables
    that ``${NAME}`` means (default: the process's). Raises ``InputError``/``InvalidInput`` for a folder or file that cannot be
    used.
    """
    if explicit is not None:
        if not explicit.is_dir():
            raise InputError(f"the project folder {str(explicit)!r} does not exist or is not a folder")
        return load_project(_absolute(explicit), environment=environment)
    first = _absolute(registry).parent if registry is not None else _absolute(start)
    folder = next((folder for folder in (first, *first.parents) if (folder / PROJECT_FILE).is_file()), first)
    return load_project(folder, environment=environment)


def load_project(folder: Path, *, environment: Mapping[str, str] | None = None) -> Project:
    """Read ``project.yaml`` of ``folder``, if it has one. Raises ``InputError``/``InvalidInput`` with places."""
    from manor.settings_shapes import ProjectFile

    path = folder / PROJECT_FILE
    if not path.exists():
        return Project(folder=folder, name=folder.name)
    document, left = expanded_document(path, PROJECT_FILE, environment)
    held_back, findings = hold_back(document.value, left)
    if findings:
        raise InvalidInput(findings)
    read = checked_settings(document, ProjectFile)
    return Project(
        folder=folder,
        name=read.project_name or folder.name,
        description=read.description,
        options=Options(create_foreign_key_constraints=read.options.create_foreign_key_constraints),
        declared=True,
        fleet=fleet_settings(read.multi_tenant, document, held_back),
        not_acted_on=_not_acted_on(read),
    )


def _not_acted_on(read: ProjectFile) -> tuple[str, ...]:
    monitoring = read.multi_tenant.monitoring if read.multi_tenant is not None else None
    waiting = _WAITING & monitoring.model_fields_set if monitoring is not None else ()
    return tuple(sorted(f"multi_tenant.monitoring.{key}" for key in waiting))


def load_source(project: Project, name: str, path: Path, *, environment: Mapping[str, str] | None = None) -> SourceSettings:
    """A source that a file of its own describes, in the shape of one of ``multi_tenant.sources``; it gets the name ``name``.

    Raises ``InputError``/``InvalidInput`` with places.
    """
    from manor.settings_shapes import TenantSource

    document = settings_document(path, project.shown(path), environment)
    read = checked_settings(document, TenantSource)
    findings = list(source_findings(read, document))
    if findings:
        raise InvalidInput(findings)
    return source_settings(name, read)


def load_environment(project: Project, folder: Path, *, environment: Mapping[str, str] | None = None) -> Environment:
    """Read ``environ.yaml`` of one environment's folder, if it has one.

    Raises ``InputError``/``InvalidInput`` with places, ``UnsupportedError`` for a URL of an engine that comes later.
    """
    from manor.settings_shapes import EnvironFile

    folder = _absolute(folder)
    path = folder / ENVIRON_FILE
    if not path.exists():
        return Environment(folder=folder, name=folder.name, options=project.options)
    document = settings_document(path, project.shown(path), environment)
    read = checked_settings(document, EnvironFile)
    declared = _deployments(read, document)
    if read.catalog_url is not None:
        check_url(read.catalog_url, place=document.place(("catalog_url",)))
    _refuse_unknown_servers(read, document)
    foreign_keys = read.options.create_foreign_key_constraints
    return Environment(
        folder=folder,
        name=folder.name,
        description=read.description,
        deployments=declared or (Deployment(name=EMBEDDED, embedded=True),),
        catalog_url=read.catalog_url,
        settings=_settings(read),
        options=project.options if foreign_keys is None else Options(create_foreign_key_constraints=foreign_keys),
    )


def _settings(read: EnvironFile) -> Settings:
    block: EmbeddedBlock = read.settings.embedded
    return Settings(
        embedded=EmbeddedSettings(**block.model_dump()),
        backup=_backup_settings(read.settings.backup),
        erasure=ErasureSettings(
            storage=tuple(read.settings.erasure.storage),
            grace_days=read.settings.erasure.grace_days,
            require_final_export=read.settings.erasure.require_final_export,
            schedule=read.settings.erasure.schedule,
            tz=read.settings.erasure.tz,
        ),
        lock_wait_seconds=read.settings.lock_wait_seconds,
        connect_timeout_seconds=read.settings.connect_timeout_seconds,
        restore_grace_seconds=read.settings.restore_grace_seconds,
        job_engine=read.settings.job_engine,
        variables=read.settings.variables,
    )


def _backup_settings(block: BackupBlock) -> BackupSettings:
    values = block.model_dump()
    stanzas = {name: PgBackRestSettings(**stanza) for name, stanza in values["pgbackrest"].items()}
    return BackupSettings(**{**values, "schedules": ScheduleSettings(**values["schedules"]), "pgbackrest": stanzas})


def _refuse_unknown_servers(read: EnvironFile, document: YamlDocument) -> None:
    known = list(read.deployments or read.deployment) or [EMBEDDED]
    for name in read.settings.backup.pgbackrest:
        if name not in known:
            raise InputError(
                f"settings.backup.pgbackrest names {name!r}, which is no deployment",
                place=document.place(("settings", "backup", "pgbackrest", name), key=True),
                hint=f"known here: {', '.join(known)}",
            )


def _deployments(read: EnvironFile, document: YamlDocument) -> tuple[Deployment, ...]:
    if read.deployments and read.deployment:
        raise InputError(
            "deployments and deployment, its older spelling, stand both",
            place=document.place(("deployment",), key=True),
            hint="keep deployments",
        )
    key, urls = ("deployments", read.deployments) if read.deployments else ("deployment", read.deployment)
    for name, url in urls.items():
        check_url(url, place=document.place((key, name)))
    return tuple(Deployment(name=name, url=url) for name, url in urls.items())


def check_url(url: str, *, place: Place | None = None) -> None:
    """Raises ``InputError`` unless ``url`` is a connection URL of PostgreSQL, ``UnsupportedError`` if it is one of MySQL."""
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme.startswith(_LATER_SCHEMES):
        raise UnsupportedError(
            f"{scheme}:// servers come later, only postgresql:// works now", place=place, hint="use a PostgreSQL server"
        )
    hint = "write postgresql://user:password@host:5432/, special characters in the password percent-encoded"
    if scheme not in _POSTGRES_SCHEMES:
        found = f"found {scheme}://" if re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) else "found something else"
        raise InputError(f"the connection URL must begin with postgresql://, {found}", place=place, hint=hint)
    try:
        parts = urlsplit(url)
        usable = (parts.port is None or parts.port > 0) and not any(character.isspace() for character in url)
    except ValueError:
        usable = False
    if not usable or "@" in parts.path or parts.fragment:
        raise InputError("the connection URL cannot be taken apart", place=place, hint=hint)
