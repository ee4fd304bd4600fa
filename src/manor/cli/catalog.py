"""``manor catalog``: the control-plane database itself."""

from __future__ import annotations

import asyncio

import click

from manor.cli.options import open_workplace, with_global_options
from manor.cli.render import print_document


@click.group()
@with_global_options
def catalog() -> None:
    """Keep the control-plane database."""


@catalog.command("rotate-key")
@click.option("--retire", is_flag=True, help="Afterwards keep the old keys for reading the audit log only.")
@with_global_options
def rotate_key(retire: bool) -> None:
    """Encrypt every stored URL with a new key. Killed in the middle, run it again."""

    async def work() -> int:
        from manor.control.operations.rotate_key import rotate_key as rotate
        from manor.wiring import open_key_ring, open_runtime

        workplace = open_workplace()
        wait_seconds = float(workplace.environment.settings.lock_wait_seconds)
        async with open_runtime(workplace) as runtime:
            ring = open_key_ring(workplace.project)
            return await rotate(runtime, ring, retire=retire, lock_wait_seconds=wait_seconds)

    changed = asyncio.run(work())
    if not print_document({"reencrypted": changed}):
        click.echo(f"{changed} stored URLs now use the new key")
