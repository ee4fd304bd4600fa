"""``manor audit``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from manor.cli.failures import Exit
from manor.cli.options import open_project, open_workplace, with_global_options
from manor.cli.render import print_document, print_table
from manor.errors import EXIT_SOME_FAILED, NotFoundError

if TYPE_CHECKING:
    from manor.control.audit import AuditEntry, AuditVerdict


@click.group()
@with_global_options
def audit() -> None:
    """Read and verify the audit log."""


@audit.command("list")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, metavar="N", help="How many.")
@click.option("--subject", metavar="S", help="Only entries about this tenant id, registry or server.")
@with_global_options
def list_entries(limit: int, subject: str | None) -> None:
    """Show the newest entries, newest first."""

    async def work() -> tuple[AuditEntry, ...]:
        from manor.control.audit import AuditLog
        from manor.wiring import look_runtime

        async with look_runtime(open_workplace()) as runtime:
            if runtime is None:
                return ()
            return await AuditLog(runtime.catalog, runtime.anchor).list(limit=limit, subject=subject)

    entries = asyncio.run(work())
    documents = [
        {
            "sequence": e.sequence,
            "at": e.at.isoformat(),
            "actor": e.actor,
            "action": e.action,
            "subject": e.subject,
            "operation": e.operation,
            "details": dict(e.details),
            "mac": e.mac,
        }
        for e in entries
    ]
    if print_document(documents):
        return
    rows = [(str(e.sequence), f"{e.at:%Y-%m-%d %H:%M:%S}", e.actor, e.action, e.subject) for e in entries]
    print_table(("seq", "at (UTC)", "actor", "action", "subject"), rows)


@audit.command("verify-certificate")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--fingerprint", metavar="HEX", help="Of the key that must have signed it; without it: the project's own keys.")
@with_global_options
def verify_certificate(file: Path, fingerprint: str | None) -> None:
    """Check an erasure certificate, without catalog and server; exit code 1 if it was changed or somebody else signed it."""
    from manor.control.catalog.certificates import known_fingerprints
    from manor.control.operations.certificate_check import check_certificate
    from manor.wiring import open_key_ring

    known = frozenset({fingerprint.lower()}) if fingerprint else known_fingerprints(open_key_ring(open_project()[0]))
    verdict = check_certificate(file, known)
    if not print_document(verdict.to_json()):
        click.echo(verdict.words)
    if not verdict.ok:
        raise Exit(EXIT_SOME_FAILED)


@audit.command()
@click.option("--allow-rebuilt", is_flag=True, help="Entries lost with a catalog that was rebuilt or restored are no failure.")
@with_global_options
def verify(allow_rebuilt: bool) -> None:
    """Check the whole chain against its keys and outside anchors; exit code 1 if anything was changed or lost."""

    async def work() -> AuditVerdict:
        from manor.control.audit import AuditLog
        from manor.wiring import look_runtime

        async with look_runtime(open_workplace()) as runtime:
            if runtime is None:
                raise NotFoundError("there is no catalog yet, so there is no audit log", hint="deploy something first")
            return await AuditLog(runtime.catalog, runtime.anchor).verify()

    verdict = asyncio.run(work())
    ok = verdict.ok and (allow_rebuilt or not verdict.breaks)
    document = {
        "ok": ok,
        "entries": verdict.entries,
        "anchored_through": verdict.anchored_through,
        "problems": list(verdict.problems),
        "breaks": list(verdict.breaks),
    }
    if not print_document(document):
        for problem in verdict.problems:
            click.echo(f"✗ {problem}")
        for lost in verdict.breaks:
            click.echo(f"! {lost}")
        sign = "✓" if ok else "✗"
        click.echo(f"{sign} audit log: {verdict.entries} entries, anchored outside up to entry {verdict.anchored_through}")
    if not ok:
        raise Exit(EXIT_SOME_FAILED)
