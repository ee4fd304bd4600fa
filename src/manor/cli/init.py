"""``manor init``."""

from __future__ import annotations

from pathlib import Path

import click

from manor.cli.options import with_global_options
from manor.cli.render import print_document, say


@click.command()
@click.option("--blueprint", default="saas", show_default=True, metavar="NAME", help="Which ready project to begin with.")
@click.argument("folder", type=click.Path(path_type=Path))
@with_global_options
def init(blueprint: str, folder: Path) -> None:
    """Begin a project in FOLDER, which must be empty or absent."""
    from manor.control.operations.scaffold import scaffold

    files = scaffold(blueprint, folder)
    if print_document({"folder": str(folder), "files": [str(f) for f in files]}):
        return
    click.echo(f"{folder}: {len(files)} files from blueprint {blueprint}")
    registries = [f for f in files if f.name == "tenant_registry.yaml"]
    for registry in registries:
        say(f"next: manor multi-tenant validate --registry {folder / registry}")
