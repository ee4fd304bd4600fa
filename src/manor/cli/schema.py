"""``manor schema``: JSON Schemas, so that editors complete and check what you write."""

from __future__ import annotations

import json

import click

from manor.cli.options import current, with_global_options
from manor.cli.render import to_text


@click.group()
@with_global_options
def schema() -> None:
    """Print the JSON Schemas of the files that you write."""


@schema.command()
@with_global_options
def registry() -> None:
    """The JSON Schema of tenant_registry.yaml."""
    from manor.control.registry.model import json_schema

    document = json_schema()
    if current().format == "yaml":
        click.echo(to_text(document, "yaml"))
    else:
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
