"""Opens what commands act through: servers, catalog and job engine as one ``Runtime``; or as much of it as there is."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

from manor.errors import ManorError, NotFoundError, UnreachableError, UnsupportedError
from manor.wiring.servers import catalog_url, is_untouched, open_server, open_servers, reach_all, sweep_sides
from manor.wiring.workplace import Workplace, current_actor, new_operation_id, open_secrets

if TYPE_CHECKING:
    from manor.control.catalog.catalog import Catalog
    from manor.control.engines.postgres.driver import PostgresServer
    from manor.control.jobs.pgqueuer_engine import PgQueuerEngine
    from manor.control.operations.recovery import Recovery
    from manor.control.runtime import Runtime, StopSignal


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
    urls = await reach_all(workplace)
    secret_box = open_secrets(workplace.project)
    await asyncio.to_thread(sweep_sides, workplace.project)
    async with contextlib.AsyncExitStack() as stack:
        servers, away = await open_servers(workplace, urls, operation, stack, some_away=some_away)
        catalog = await Catalog.open(catalog_url(workplace, urls), secret_box, application=operation)
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
    return PgQueuerEngine(catalog_conninfo(catalog_url(workplace, urls)), application=application, **settings)


async def open_worker_engine(workplace: Workplace, *, dead_after_seconds: float) -> PgQueuerEngine:
    """The engine whose batches ``manor worker`` carries out. Raises ``UnsupportedError`` where its package is missing."""
    urls = await reach_all(workplace)
    application = f"{new_operation_id(dt.datetime.now(dt.UTC))} worker"
    return _pgqueuer(workplace, urls, application, dead_after_seconds=dead_after_seconds)


@contextlib.asynccontextmanager
async def look_runtime(workplace: Workplace) -> AsyncIterator[Runtime | None]:
    """The same for commands that only look: nothing is made. None where there is no catalog yet.

    No server is entered before the command asks it something: what needs the catalog alone works while a server is down.
    """
    from manor.control.catalog.catalog import Catalog

    if is_untouched(workplace):
        yield None
        return
    operation = new_operation_id(dt.datetime.now(dt.UTC))
    urls = await reach_all(workplace)
    async with contextlib.AsyncExitStack() as stack:
        servers = {name: open_server(workplace, name, url, operation, stack) for name, url in urls.items()}
        secret_box = open_secrets(workplace.project)
        try:
            catalog = await Catalog.peek(catalog_url(workplace, urls), secret_box, application=operation)
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

    if is_untouched(workplace):
        raise NotFoundError("there is no server yet, so there is no catalog to bring back", hint="manor multi-tenant deploy")
    operation = new_operation_id(dt.datetime.now(dt.UTC))
    urls = await reach_all(workplace)
    url = catalog_url(workplace, urls)
    place = CatalogPlace(admin_url=url, secrets=open_secrets(workplace.project), application=operation)
    async with contextlib.AsyncExitStack() as stack:
        servers, _ = await open_servers(workplace, urls, operation, stack, some_away=False)
        found = await Catalog.peek(url, place.secrets, application=operation)
        if found is not None:
            stack.push_async_callback(found.close)
        yield Recovery(
            servers=servers,
            home=open_server(workplace, "catalog", url, operation, stack),
            place=place,
            found=found,
            tombstones=workplace.tombstones,
            runtime=lambda catalog: _runtime(workplace, operation, servers, catalog, stop),
        )


@contextlib.asynccontextmanager
async def catalog_server(workplace: Workplace, application: str) -> AsyncIterator[PostgresServer]:
    """The server that holds the catalog, for what is done to its database."""
    async with contextlib.AsyncExitStack() as stack:
        urls = await reach_all(workplace)
        yield open_server(workplace, "catalog", catalog_url(workplace, urls), application, stack)


@contextlib.asynccontextmanager
async def inspect_servers(workplace: Workplace) -> AsyncIterator[tuple[list[PostgresServer], Catalog | ManorError | None]]:
    """Servers and catalog for ``doctor``: no catalog is made, and what does not answer or refuses us is left for it to tell."""
    import asyncio

    from manor.control.catalog.catalog import Catalog

    await asyncio.to_thread(sweep_sides, workplace.project)
    operation = new_operation_id(dt.datetime.now(dt.UTC))
    urls = await reach_all(workplace)
    async with contextlib.AsyncExitStack() as stack:
        servers = [open_server(workplace, name, url, operation, stack) for name, url in urls.items()]
        catalog: Catalog | ManorError | None
        try:
            secrets = open_secrets(workplace.project)
            catalog = await Catalog.peek(catalog_url(workplace, urls), secrets, application=operation)
        except ManorError as error:
            catalog = error
        if isinstance(catalog, Catalog):
            await stack.enter_async_context(catalog)
        yield servers, catalog


def _runtime(
    workplace: Workplace,
    operation: str,
    servers: Mapping[str, PostgresServer],
    catalog: object,
    stop: StopSignal | None,
) -> Runtime:
    from manor.control.runtime import Runtime, StopSignal

    return Runtime(
        operation=operation,
        actor=current_actor(),
        servers=servers,
        catalog=catalog,  # type: ignore[arg-type]
        anchor=workplace.anchor,
        tombstones=workplace.tombstones,
        telemetry=workplace.telemetry,
        stop=stop or StopSignal(),
    )
