"""``manor backup base``, ``bases``, ``mark``, ``archive`` and ``extract``: one tenant back at a moment of the past."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from manor.cli.failures import Exit
from manor.cli.options import open_workplace, with_global_options
from manor.cli.progress import run_stoppable
from manor.cli.render import print_document, print_table, say
from manor.errors import EXIT_REFUSED, EXIT_SOME_FAILED, ConflictError, counted

if TYPE_CHECKING:
    from manor.control.backup.base_manifest import BaseManifest
    from manor.control.catalog.bases import BaseRecord, MarkRecord
    from manor.control.operations.backup_archive import ArchiveHealth
    from manor.control.rollout.bases.place import BasePlace
    from manor.control.runtime import Runtime, StopSignal
    from manor.wiring import Workplace

T = TypeVar("T")

server_option = click.option("--server", metavar="NAME", help="Deployment; needed where the environment has several.")
location_option = click.option(
    "--location", metavar="DIR|URL", help="Where base backups are.  [default: environ.yaml, else .manor/backups]"
)
wait_option = click.option(
    "--archive-timeout",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    metavar="S",
    help="Seconds that the log may take to reach the archive.",
)


def _run(location: str | None, work: Callable[[Workplace, Runtime, BasePlace], Awaitable[T]]) -> T:
    """Do something with base backups."""

    async def opened() -> T:
        from manor.wiring import base_place, open_runtime

        workplace = open_workplace()
        async with open_runtime(workplace, some_away=True) as runtime:
            place = base_place(workplace, location)
            return await work(workplace, runtime, place)

    return asyncio.run(opened())


@click.command()
@server_option
@click.option(
    "--incremental", is_flag=True, help="Only what has changed since the newest base backup (PostgreSQL 17+, summarize_wal)."
)
@location_option
@wait_option
@with_global_options
def base(server: str | None, incremental: bool, location: str | None, archive_timeout: float) -> None:
    """Take a base backup of a whole server, addressable per database; its log is archived from then on."""

    async def work(workplace: Workplace, runtime: Runtime, place: BasePlace) -> BaseManifest:
        from manor.control.operations.backup_base import backup_base, choose_server
        from manor.control.rollout.bases.take import BaseOrder

        wait = float(workplace.environment.settings.lock_wait_seconds)
        name = choose_server(runtime, server)
        order = BaseOrder(
            server=name, incremental=incremental, archive_deadline_seconds=archive_timeout, lock_wait_seconds=wait
        )
        return await backup_base(runtime, place, order)

    found = _run(location, work)
    document = {
        "base": found.id,
        "server": found.server,
        "parent": found.parent or None,
        "bytes": found.bytes,
        "databases": len(found.databases),
        "started_at": found.started_at.isoformat(),
        "stopped_at": found.stopped_at.isoformat(),
        "first_segment": found.start_wal,
    }
    if not print_document(document):
        moment = found.stopped_at.isoformat(timespec="seconds")
        of = f", an increment of {found.parent}" if found.parent else ""
        size = f"{counted(len(found.databases), 'database')}, {_mb(found.bytes)}"
        click.echo(f"base backup {found.id} of {found.server}: {size}{of}")
        say(f"tenants can be restored to any moment since {moment}")


@click.command()
@server_option
@with_global_options
def bases(server: str | None) -> None:
    """List base backups and marks."""

    async def work(_: Workplace, runtime: Runtime, _place: BasePlace) -> tuple[list[BaseRecord], list[MarkRecord]]:
        return await runtime.catalog.bases(server), await runtime.catalog.marks(server)

    found, marks = _run(None, work)
    document = {"bases": [_base_json(record) for record in found], "marks": [_mark_json(record) for record in marks]}
    if print_document(document):
        return
    rows = [(r.id, r.server, _utc(r.stopped_at), str(r.databases), _mb(r.bytes), r.parent, r.location) for r in found]
    print_table(("base", "server", "reaches back to (UTC)", "databases", "size", "increment of", "location"), rows)
    if marks:
        print_table(("mark", "server", "at (UTC)"), [(m.name, m.server, _utc(m.at)) for m in marks])


def _base_json(record: BaseRecord) -> dict[str, Any]:
    return {
        "base": record.id,
        "server": record.server,
        "parent": record.parent or None,
        "location": record.location,
        "operation": record.operation,
        "databases": record.databases,
        "bytes": record.bytes,
        "started_at": record.started_at.isoformat(),
        "stopped_at": record.stopped_at.isoformat(),
    }


def _mark_json(record: MarkRecord) -> dict[str, Any]:
    from manor.control.engines.wal import show_lsn

    return {
        "mark": record.name,
        "server": record.server,
        "lsn": show_lsn(record.lsn),
        "at": record.at.isoformat(),
        "actor": record.actor,
    }


@click.command()
@click.argument("name", metavar="NAME")
@server_option
@with_global_options
def mark(name: str, server: str | None) -> None:
    """Name this moment, so that tenants can be restored to it: `manor tenant restore --to-mark NAME`."""

    async def work(_: Workplace, runtime: Runtime, _place: BasePlace) -> MarkRecord:
        from manor.control.operations.backup_base import choose_server, mark_moment

        return await mark_moment(runtime, name, choose_server(runtime, server))

    found = _run(None, work)
    if not print_document(_mark_json(found)):
        click.echo(f"mark {found.name} on {found.server} at {found.at.isoformat(timespec='milliseconds')}")


@click.group()
@with_global_options
def archive() -> None:
    """The archive of the write-ahead log: its health, pruning it, receiving into it."""


@archive.command()
@server_option
@location_option
@with_global_options
def status(server: str | None, location: str | None) -> None:
    """Show what is archived, gaps and failures; exit code 1 if something is wrong."""

    async def work(_: Workplace, runtime: Runtime, place: BasePlace) -> list[ArchiveHealth]:
        from manor.control.operations.backup_archive import archive_health
        from manor.control.operations.backup_base import choose_server

        names = [choose_server(runtime, server)] if server else list(runtime.servers)
        return [await archive_health(runtime, place, name) for name in names]

    found = _run(location, work)
    if not print_document([health.to_json() for health in found]):
        headers = ("server", "bases", "segments", "size", "newest", "stored (UTC)", "not archived yet")
        print_table(headers, [_health_row(health) for health in found])
        for health in found:
            for problem in health.problems:
                click.echo(f"problem: {health.server}: {problem}")
    if any(health.problems for health in found):
        raise Exit(EXIT_SOME_FAILED)


def _health_row(health: ArchiveHealth) -> tuple[str, ...]:
    stored = _utc(health.stored_at) if health.stored_at else ""
    lag = _mb(health.lag_bytes)
    return (health.server, str(health.bases), str(health.segments), _mb(health.bytes), health.last, stored, lag)


@archive.command()
@server_option
@location_option
@click.option(
    "--keep-bases",
    type=click.IntRange(min=0),
    metavar="N",
    help="Remove all base backups but the newest N of the present cluster and those that these are increments of; 0: all.",
)
@with_global_options
def prune(server: str | None, location: str | None, keep_bases: int | None) -> None:
    """Remove the log that no base backup needs; with the last base backup, archiving ends."""

    async def work(workplace: Workplace, runtime: Runtime, place: BasePlace) -> Any:
        from manor.control.operations.backup_archive import prune_archive
        from manor.control.operations.backup_base import choose_server

        wait = float(workplace.environment.settings.lock_wait_seconds)
        name = choose_server(runtime, server)
        return await prune_archive(runtime, place, name, keep_bases=keep_bases, lock_wait_seconds=wait)

    found = _run(location, work)
    if not print_document(found.to_json()):
        removed = f"{counted(len(found.bases), 'base backup')} and {counted(found.segments, 'segment')}"
        click.echo(f"{found.server}: {removed} removed, {_mb(found.bytes)}")
        if found.others:
            left = f"{counted(len(found.others), 'base backup')} of a cluster that {found.server} has replaced"
            click.echo(f"{left}: neither counted nor removed")
        if not found.archiving:
            click.echo("the log is no longer archived: there is no base backup left")


@archive.command()
@server_option
@location_option
@with_global_options
def receive(server: str | None, location: str | None) -> None:
    """Receive the log of a server of your own (pg_receivewal with a slot) until Ctrl-C."""

    async def work(stop: StopSignal) -> None:
        from manor.control.operations.backup_base import choose_server
        from manor.control.operations.backup_receive import receive as operation
        from manor.wiring import base_place, open_runtime

        workplace = open_workplace()
        async with open_runtime(workplace, stop=stop) as runtime:
            name = choose_server(runtime, server)
            say(f"receiving the log of {name}; Ctrl-C ends it")
            await operation(runtime, base_place(workplace, location), name, spool=workplace.state / "wal" / name)

    run_stoppable(work)


@click.command()
@click.option("--tenant-id", "tenant", metavar="T", required=True, help="The tenant.")
@click.option("--to", metavar="TIME", help="ISO time with a zone: 2026-11-20T14:05:00+09:00.")
@click.option("--to-mark", metavar="NAME", help="A mark that `manor backup mark` made.")
@click.option("--to-lsn", metavar="LSN", help="A position in the log.")
@click.option("--output", metavar="F", type=click.Path(path_type=Path), help="The file that the dump goes to; must be new.")
@click.option("--dry-run", is_flag=True, help="Say what would be used, or why it cannot be done.")
@location_option
@wait_option
@with_global_options
def extract(tenant: str, output: Path | None, dry_run: bool, location: str | None, archive_timeout: float, **to: Any) -> None:
    """Write a dump of one tenant as it was at a moment of the past; nothing of the tenant is changed."""
    from manor.control.operations.restore_to import read_target

    target = read_target(**to)
    if (output is None) == (not dry_run):
        raise click.UsageError("say where the dump goes (--output F), or --dry-run")
    if output is not None and output.exists():
        raise ConflictError(f"{output} is there already", hint="name a new file")

    folder = output.absolute().parent if output is not None else Path()

    async def work(_: Workplace, runtime: Runtime, place: BasePlace) -> dict[str, Any]:
        from manor.control.operations.restore_to import explain, extract_to
        from manor.control.operations.tenants import find_tenant
        from manor.storage.opening import open_store

        record = await find_tenant(runtime, tenant)
        if output is None:
            return await explain(runtime, place, record, target)
        store = open_store(folder)
        found = await extract_to(runtime, place, record, target, store, output.name, deadline_seconds=archive_timeout)
        return {**found, "file": str(output)}

    document = _run(location, work)
    if not print_document(document):
        for name, value in document.items():
            if value not in (None, "", []):
                click.echo(f"{name.replace('_', ' '):<15} {value}")
    if document.get("reachable") is False:
        raise Exit(EXIT_REFUSED)


def register(group: click.Group) -> None:
    """Put the commands into ``manor backup``."""
    for command in (base, bases, mark, archive, extract):
        group.add_command(command)


def _utc(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
