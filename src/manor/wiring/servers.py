"""The servers of a workplace: the embedded one, those of the user's own, and PostgreSQL's programs for them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from manor.errors import ManorError, NotFoundError, UnreachableError
from manor.settings import Deployment, Environment, Project
from manor.wiring.workplace import STATE_FOLDER, Workplace

if TYPE_CHECKING:
    from manor.control.engines.embedded.server import EmbeddedServer
    from manor.control.engines.postgres.driver import PostgresServer
    from manor.control.templates.model import Template
    from manor.errors import Finding


def embedded_server(project: Project, environment: Environment) -> EmbeddedServer:
    """The embedded PostgreSQL of the project, not started."""
    from manor.control.engines.embedded.archiving import is_on
    from manor.control.engines.embedded.server import EmbeddedServer, EmbeddedSettings

    chosen = dataclasses.asdict(environment.settings.embedded)
    if chosen["archive"] is None:
        chosen["archive"] = is_on(project.folder / STATE_FOLDER)
    return EmbeddedServer(project.folder, EmbeddedSettings(**chosen))


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
    program = bundled if server in embedded or is_local(url) else shutil.which("psql")
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

    return bundled_program if is_local(url) else machine_program


def is_local(url: str) -> bool:
    """A Unix socket, where there is nothing to encrypt."""
    return not urlsplit(url).hostname


def is_untouched(workplace: Workplace) -> bool:
    """No embedded server was ever made, and nothing else is there to look at."""
    deployments = workplace.environment.deployments
    return all(d.embedded for d in deployments) and not embedded_server(workplace.project, workplace.environment).exists


async def reach_all(workplace: Workplace) -> dict[str, str]:
    """The URLs of all servers, by deployment; the embedded one is made and started where needed."""
    return {deployment.name: await _reach(workplace, deployment) for deployment in workplace.environment.deployments}


async def _reach(workplace: Workplace, deployment: Deployment) -> str:
    if deployment.url is not None:
        return deployment.url
    import asyncio

    server = embedded_server(workplace.project, workplace.environment)
    return await asyncio.to_thread(server.ensure_running)


def catalog_url(workplace: Workplace, urls: Mapping[str, str]) -> str:
    """The URL of the server that holds the catalog. ``urls``: by deployment."""
    first = workplace.environment.deployments[0].name
    return workplace.environment.catalog_url or urls[first]


async def open_servers(
    workplace: Workplace, urls: Mapping[str, str], operation: str, stack: contextlib.AsyncExitStack, *, some_away: bool
) -> tuple[dict[str, PostgresServer], dict[str, ManorError]]:
    """All servers, closed with ``stack``, and why those do not answer that do not. Raises ``UnreachableError`` unless
    ``some_away``, and ``EngineError`` (denied) where the login lacks a right."""
    from manor.control.operations.rights import require_rights

    servers: dict[str, PostgresServer] = {}
    away: dict[str, ManorError] = {}
    for name, url in urls.items():
        servers[name] = server = open_server(workplace, name, url, operation, stack)
        try:
            facts = await server.facts()
        except UnreachableError as error:
            if some_away:
                away[name] = error
                continue
            raise UnreachableError(error.message, hint=f"deployment {name}: {error.hint}") from error
        require_rights(name, facts)
    return servers, away


def open_server(workplace: Workplace, name: str, url: str, operation: str, stack: contextlib.AsyncExitStack) -> PostgresServer:
    """One server, which nobody has entered yet; closed with ``stack``."""
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
