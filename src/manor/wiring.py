"""Puts concrete drivers behind the ports: the only module that knows them all.

Nothing is opened at import; vendors' libraries and asyncio are imported when a command needs them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import getpass
import os
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from manor.errors import ManorError, NotFoundError, UnreachableError, UnsupportedError
from manor.settings import Deployment, Environment, Project
from manor.telemetry import Telemetry

if TYPE_CHECKING:
    from manor.control.backup.schedule import Schedule
    from manor.control.catalog.catalog import Catalog
    from manor.control.catalog.secrets import KeyRing, SecretBox
    from manor.control.engines.embedded.server import EmbeddedServer
    from manor.control.engines.postgres.driver import PostgresServer
    from manor.control.engines.side.pgbackrest import PgBackRest
    from manor.control.jobs.pgqueuer_engine import PgQueuerEngine
    from manor.control.operations.recovery import Recovery
    from manor.control.operations.schedules import Job
    from manor.control.rollout.backups.vault import BackupVault
    from manor.control.rollout.bases.place import BasePlace
    from manor.control.rollout.erasure.places import Surroundings
    from manor.control.runtime import Runtime, StopSignal
    from manor.control.templates.model import Template
    from manor.errors import Finding
    from manor.storage.store import Store

STATE_FOLDER = ".manor"
ANCHOR_FILE = "audit.anchor"


def new_operation_id(now: dt.datetime) -> str:
    """Sorts by time; short enough for PostgreSQL's application_name."""
    return f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


def current_actor() -> str:
    """Who runs this: user, host and process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without an account, as containers have
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}:{os.getpid()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """One environment of one project, and how this command wants to be run."""

    project: Project
    environment: Environment
    telemetry: Telemetry
    sessions: int = 20
    """Most connections per server."""
    engine: str | None = None
    """Of jobs: ``inline`` or ``pgqueuer``; None: as the environment says."""

    @property
    def state(self) -> Path:
        """The folder of everything that Manor keeps beside the project's own files."""
        return self.project.folder / STATE_FOLDER


def embedded_server(project: Project, environment: Environment) -> EmbeddedServer:
    """The embedded PostgreSQL of the project, not started."""
    from manor.control.engines.embedded.archiving import is_on
    from manor.control.engines.embedded.server import EmbeddedServer, EmbeddedSettings

    chosen = dataclasses.asdict(environment.settings.embedded)
    if chosen["archive"] is None:
        chosen["archive"] = is_on(project.folder / STATE_FOLDER)
    return EmbeddedServer(project.folder, EmbeddedSettings(**chosen))


def base_place(workplace: Workplace, location: str | None = None) -> BasePlace:
    """Where base backups, archives of WAL and side instances of this environment are: beside the backups, see ``open_vault``.
    Nothing is made yet; the embedded server must have been."""
    from manor.control.engines.embedded.archiving import EmbeddedSwitch
    from manor.control.engines.side.servers import PostgresSides
    from manor.control.rollout.bases.archive import WalArchive
    from manor.control.rollout.bases.place import BasePlace
    from manor.storage.opening import open_store

    project, environment = workplace.project, workplace.environment
    store = _backup_store(workplace, location)
    archives, sides, switches = {}, {}, {}
    for deployment in environment.deployments:
        name = deployment.name
        sides[name] = PostgresSides(
            project=project.folder,
            environment=os.environ,
            embedded=deployment.embedded,
            programs=program_finder(deployment.url or ""),
        )
        archives[name] = WalArchive(store=store, prefix=f"wal/{name}")
        if deployment.embedded:
            archives[name] = WalArchive(store=open_store(embedded_server(project, environment).archive_folder))
            switches[name] = EmbeddedSwitch(
                state=workplace.state,
                forced=environment.settings.embedded.archive,
                server=lambda: embedded_server(project, environment),
            )
    return BasePlace(store=store, archives=archives, sides=sides, switches=switches, repositories=_repositories(workplace))


def _repositories(workplace: Workplace) -> dict[str, PgBackRest]:
    """By deployment, where ``environ.yaml`` names a stanza."""
    from manor.control.engines.side.pgbackrest import PgBackRest

    folder = workplace.project.folder
    return {
        server: PgBackRest(
            server=server,
            stanza=named.stanza,
            config=str(folder / named.config) if named.config else None,
            project=folder,
            environment=os.environ,
        )
        for server, named in workplace.environment.settings.backup.pgbackrest.items()
    }


def sweep_sides(project: Project) -> None:
    """End and remove the side instances of killed commands."""
    from manor.control.engines.side.homes import sweep_homes

    sweep_homes(project.folder, os.environ)


def template_examiner() -> Callable[[Template], list[Finding]]:
    """Finds what the engine could not make of a template, without a server."""
    from manor.control.engines.postgres.examine import examine_template

    return examine_template


def psql_command(workplace: Workplace, server: str, url: str) -> tuple[str, dict[str, str]]:
    """The program and the environment variables that open ``url`` on deployment ``server``.

    The bundled psql cannot encrypt, so the machine's own one is used for servers that are not bundled. Raises ``NotFoundError``
    where there is none.
    """
    from manor.control.engines.postgres.client import psql_environment

    embedded = {d.name for d in workplace.environment.deployments if d.embedded}
    bundled = str(embedded_server(workplace.project, workplace.environment).client_binary("psql"))
    program = bundled if server in embedded or _is_local(url) else shutil.which("psql")
    if program is None:
        hint = "install PostgreSQL's client programs (Debian, Ubuntu: apt-get install postgresql-client)"
        raise NotFoundError("there is no psql on this machine, and the bundled one cannot encrypt", hint=hint)
    return program, psql_environment(url)


def program_finder(url: str) -> Callable[[str, int], str]:
    """Finds PostgreSQL's programs for the server of ``url``: the bundled ones for a local socket, as they cannot encrypt, else
    the machine's own. Of several versions the oldest that is not older than the server: what a newer one restores, an older
    server may not understand."""
    from manor.control.engines.embedded.binaries import bundled_program
    from manor.control.engines.postgres.programs import machine_program

    return bundled_program if _is_local(url) else machine_program


def open_vault(workplace: Workplace, location: str | None = None, *, encrypt: bool | None = None) -> BackupVault:
    """The backups at ``location`` (a relative folder counts from the current one), else where ``environ.yaml`` says (from the
    project), else in ``.manor/backups``. Nothing is contacted. Raises ``InputError`` for a location that cannot be used."""
    from manor.control.rollout.backups.vault import BackupVault

    settings = workplace.environment.settings.backup
    return BackupVault(_backup_store(workplace, location), encrypt=settings.encrypt if encrypt is None else encrypt)


def _backup_store(workplace: Workplace, location: str | None) -> Store:
    from manor.storage.opening import open_store

    if location is not None:
        return open_store(location)
    configured = workplace.environment.settings.backup.location
    return open_store(configured or f"{STATE_FOLDER}/backups", base=workplace.project.folder)


def scheduled(workplace: Workplace) -> tuple[list[Schedule], Mapping[str, Job]]:
    """The schedules of the environment, and what each of them does. Nothing is contacted."""
    from manor.control.operations.scheduled_jobs import jobs_of, schedules_of

    settings = workplace.environment.settings
    wait_seconds = float(settings.lock_wait_seconds)
    vault = open_vault(workplace)
    jobs = jobs_of(workplace.project.folder, vault, settings.backup, lock_wait_seconds=wait_seconds)
    return schedules_of(settings.backup), jobs


def erasure_surroundings(workplace: Workplace) -> Surroundings:
    """Where the backups and objects of tenants are. Nothing is contacted."""
    from manor.control.rollout.erasure.places import Surroundings
    from manor.storage.opening import open_store

    def open_it(location: str) -> Store:
        return open_store(location, base=workplace.project.folder)

    objects = workplace.environment.settings.erasure.storage
    return Surroundings(vault=open_vault(workplace), open_store=open_it, objects=objects)


def open_key_ring(project: Project) -> KeyRing:
    """The keys of the catalog (``MANOR_KEY``, ``MANOR_KEY_FILE``, or the project's own key file, which a new catalog makes)."""
    from manor.control.catalog.secrets import KeyRing

    return KeyRing.load(project.folder, os.environ)


def open_secrets(project: Project) -> SecretBox:
    """The keys, ready to encrypt."""
    from manor.control.catalog.secrets import SecretBox

    return SecretBox(open_key_ring(project))


@contextlib.asynccontextmanager
async def open_runtime(
    workplace: Workplace, *, stop: StopSignal | None = None, operation: str = "", some_away: bool = False
) -> AsyncIterator[Runtime]:
    """Servers and catalog, started, made and migrated where needed. ``operation``: an id to go on under, instead of a new one.
    ``some_away``: servers that do not answer are no reason to leave the others alone; what asks them something fails, and
    ``Runtime.away`` names them.

    Raises ``UnreachableError`` or ``EngineError`` (denied, also where the login lacks a right) naming the deployment,
    ``CatalogError`` for a catalog of a newer Manor.
    """
    import asyncio

    from manor.control.catalog.catalog import Catalog

    operation = operation or new_operation_id(dt.datetime.now(dt.UTC))
    urls = {d.name: await _reach(workplace, d) for d in workplace.environment.deployments}
    secret_box = open_secrets(workplace.project)
    await asyncio.to_thread(sweep_sides, workplace.project)
    async with contextlib.AsyncExitStack() as stack:
        servers, away = await _open_servers(workplace, urls, operation, stack, some_away=some_away)
        catalog = await Catalog.open(_catalog_url(workplace, urls), secret_box, application=operation)
        await stack.enter_async_context(catalog)
        jobs = _job_engine(workplace, urls, operation, stack)
        yield dataclasses.replace(_runtime(workplace, operation, servers, catalog, stop), jobs=jobs, away=away)


def _job_engine(
    workplace: Workplace, urls: Mapping[str, str], operation: str, stack: contextlib.AsyncExitStack
) -> PgQueuerEngine | None:
    if (workplace.engine or workplace.environment.settings.job_engine) == "inline":
        return None
    engine = _pgqueuer(workplace, urls, operation)
    stack.push_async_callback(engine.close)
    return engine


def _pgqueuer(workplace: Workplace, urls: Mapping[str, str], application: str, **settings: float) -> PgQueuerEngine:
    from manor.control.catalog.link import catalog_conninfo

    try:
        from manor.control.jobs.pgqueuer_engine import PgQueuerEngine
    except ModuleNotFoundError as error:
        hint = "pip install 'manor[workers]'"
        raise UnsupportedError(f"the job engine pgqueuer needs the package {error.name}", hint=hint) from error
    return PgQueuerEngine(catalog_conninfo(_catalog_url(workplace, urls)), application=application, **settings)


async def open_worker_engine(workplace: Workplace, *, dead_after_seconds: float) -> PgQueuerEngine:
    """The engine whose batches ``manor worker`` carries out. Raises ``UnsupportedError`` where its package is missing."""
    urls = {d.name: await _reach(workplace, d) for d in workplace.environment.deployments}
    application = f"{new_operation_id(dt.datetime.now(dt.UTC))} worker"
    return _pgqueuer(workplace, urls, application, dead_after_seconds=dead_after_seconds)


@contextlib.asynccontextmanager
async def look_runtime(workplace: Workplace) -> AsyncIterator[Runtime | None]:
    """The same for commands that only look: nothing is made. None where there is no catalog yet.

    No server is entered before the command asks it something: what needs the catalog alone works while a server is down.
    """
    from manor.control.catalog.catalog import Catalog

    if _is_untouched(workplace):
        yield None
        return
    operation = new_operation_id(dt.datetime.now(dt.UTC))
    urls = {d.name: await _reach(workplace, d) for d in workplace.environment.deployments}
    async with contextlib.AsyncExitStack() as stack:
        servers = {name: _server(workplace, name, url, operation, stack) for name, url in urls.items()}
        secret_box = open_secrets(workplace.project)
        try:
            catalog = await Catalog.peek(_catalog_url(workplace, urls), secret_box, application=operation)
        except UnreachableError as error:
            place = "catalog_url" if workplace.environment.catalog_url else f"deployment {next(iter(urls))}"
            raise UnreachableError(error.message, hint=f"{place}: {error.hint}", transient=error.transient) from error
        if catalog is None:
            yield None
            return
        await stack.enter_async_context(catalog)
        yield _runtime(workplace, operation, servers, catalog, None)


@contextlib.asynccontextmanager
async def open_recovery(workplace: Workplace, *, stop: StopSignal | None = None) -> AsyncIterator[Recovery]:
    """Servers without a catalog, and the way to a new one: for ``catalog rebuild``. Raises like ``open_runtime``, and
    ``NotFoundError`` where there never was a server."""
    from manor.control.catalog.catalog import Catalog
    from manor.control.catalog.place import CatalogPlace
    from manor.control.operations.recovery import Recovery

    if _is_untouched(workplace):
        raise NotFoundError("there is no server yet, so there is no catalog to bring back", hint="manor multi-tenant deploy")
    operation = new_operation_id(dt.datetime.now(dt.UTC))
    urls = {d.name: await _reach(workplace, d) for d in workplace.environment.deployments}
    url = _catalog_url(workplace, urls)
    place = CatalogPlace(admin_url=url, secrets=open_secrets(workplace.project), application=operation)
    async with contextlib.AsyncExitStack() as stack:
        servers, _ = await _open_servers(workplace, urls, operation, stack, some_away=False)
        found = await Catalog.peek(url, place.secrets, application=operation)
        if found is not None:
            stack.push_async_callback(found.close)
        yield Recovery(
            servers=servers,
            home=_server(workplace, "catalog", url, operation, stack),
            place=place,
            found=found,
            runtime=lambda catalog: _runtime(workplace, operation, servers, catalog, stop),
        )


@contextlib.asynccontextmanager
async def catalog_server(workplace: Workplace, application: str) -> AsyncIterator[PostgresServer]:
    """The server that holds the catalog, for what is done to its database."""
    async with contextlib.AsyncExitStack() as stack:
        urls = {d.name: await _reach(workplace, d) for d in workplace.environment.deployments}
        yield _server(workplace, "catalog", _catalog_url(workplace, urls), application, stack)


@contextlib.asynccontextmanager
async def inspect_servers(workplace: Workplace) -> AsyncIterator[tuple[list[PostgresServer], Catalog | ManorError | None]]:
    """Servers and catalog for ``doctor``: no catalog is made, and what does not answer or refuses us is left for it to tell."""
    import asyncio

    from manor.control.catalog.catalog import Catalog

    await asyncio.to_thread(sweep_sides, workplace.project)
    operation = new_operation_id(dt.datetime.now(dt.UTC))
    urls = {d.name: await _reach(workplace, d) for d in workplace.environment.deployments}
    async with contextlib.AsyncExitStack() as stack:
        servers = [_server(workplace, name, url, operation, stack) for name, url in urls.items()]
        catalog: Catalog | ManorError | None
        try:
            secrets = open_secrets(workplace.project)
            catalog = await Catalog.peek(_catalog_url(workplace, urls), secrets, application=operation)
        except ManorError as error:
            catalog = error
        if isinstance(catalog, Catalog):
            await stack.enter_async_context(catalog)
        yield servers, catalog


def _is_local(url: str) -> bool:
    """A Unix socket, where there is nothing to encrypt."""
    return not urlsplit(url).hostname


def _is_untouched(workplace: Workplace) -> bool:
    """No embedded server was ever made, and nothing else is there to look at."""
    deployments = workplace.environment.deployments
    return all(d.embedded for d in deployments) and not embedded_server(workplace.project, workplace.environment).exists


def _runtime(
    workplace: Workplace,
    operation: str,
    servers: Mapping[str, PostgresServer],
    catalog: object,
    stop: StopSignal | None,
) -> Runtime:
    from manor.control.audit import AnchorFile
    from manor.control.runtime import Runtime, StopSignal

    return Runtime(
        operation=operation,
        actor=current_actor(),
        servers=servers,
        catalog=catalog,  # type: ignore[arg-type]
        anchor=AnchorFile(workplace.state / ANCHOR_FILE),
        telemetry=workplace.telemetry,
        stop=stop or StopSignal(),
    )


async def _reach(workplace: Workplace, deployment: Deployment) -> str:
    if deployment.url is not None:
        return deployment.url
    import asyncio

    server = embedded_server(workplace.project, workplace.environment)
    return await asyncio.to_thread(server.ensure_running)


def _catalog_url(workplace: Workplace, urls: Mapping[str, str]) -> str:
    first = workplace.environment.deployments[0].name
    return workplace.environment.catalog_url or urls[first]


async def _open_servers(
    workplace: Workplace, urls: Mapping[str, str], operation: str, stack: contextlib.AsyncExitStack, *, some_away: bool
) -> tuple[dict[str, PostgresServer], dict[str, ManorError]]:
    from manor.control.operations.rights import require_rights

    servers: dict[str, PostgresServer] = {}
    away: dict[str, ManorError] = {}
    for name, url in urls.items():
        servers[name] = server = _server(workplace, name, url, operation, stack)
        try:
            facts = await server.facts()
        except UnreachableError as error:
            if some_away:
                away[name] = error
                continue
            raise UnreachableError(error.message, hint=f"deployment {name}: {error.hint}") from error
        require_rights(name, facts)
    return servers, away


def _server(workplace: Workplace, name: str, url: str, operation: str, stack: contextlib.AsyncExitStack) -> PostgresServer:
    from manor.control.engines.postgres.driver import PostgresServer

    server = PostgresServer(
        name,
        url,
        operation=operation,
        sessions=workplace.sessions,
        connect_timeout=workplace.environment.settings.connect_timeout_seconds,
        programs=program_finder(url),
        dump_lock_timeout=workplace.environment.settings.backup.lock_timeout_seconds,
    )
    stack.push_async_callback(server.close)
    return server
