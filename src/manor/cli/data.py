"""``manor data``: the document layer, for developers: a local DynamoDB, and what each backend can do."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from manor.cli.options import with_global_options
from manor.cli.progress import handled_by
from manor.cli.render import print_document, print_table, say
from manor.errors import UnsupportedError

if TYPE_CHECKING:
    from manor.data.documents.capabilities import Capability, Support
    from manor.testing.dynamodb_endpoint import DynamoDBEndpoint

EXAMPLES = {
    "memory": "memory://",
    "sqlite": "sqlite:///documents.db",
    "postgresql": "postgresql://localhost/documents",
    "dynamodb": "dynamodb://eu-central-1",
    "cosmos": "cosmos://account.documents.azure.com/documents",
}
"""A URL of each kind of store; nobody is contacted there."""


@click.group()
@with_global_options
def data() -> None:
    """Serve documents as a local DynamoDB; show what each backend can do."""


@data.command()
@click.option(
    "--store", required=True, metavar="URL", help="memory://, sqlite:///FILE, postgresql://… as in manor.data.connect."
)
@click.option("--tenant", required=True, metavar="T", help="Whose documents: nothing of another tenant can be reached.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="H", help="A loopback address.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, metavar="N", help="0 is any free one.")
@with_global_options
def serve(store: str, tenant: str, host: str, port: int) -> None:
    """Be a local DynamoDB for boto3, the AWS CLI and others, with the tables of one tenant in any store.

    Runs until Ctrl-C or SIGTERM. Credentials and signatures are not checked, so only this machine can reach it; the tables stay
    where the store keeps anything.
    """
    endpoint = _endpoint(store, tenant, host, port)

    async def work() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        with handled_by(lambda: loop.call_soon_threadsafe(stop.set)):
            async with endpoint:
                _announce(endpoint, tenant)
                await stop.wait()

    asyncio.run(work())


def _endpoint(store: str, tenant: str, host: str, port: int) -> DynamoDBEndpoint:
    try:
        from manor.testing.dynamodb_endpoint import DynamoDBEndpoint
    except ImportError as error:
        raise UnsupportedError(f"the endpoint needs {error.name}", hint="pip install 'manor[endpoint]'") from error
    return DynamoDBEndpoint(store, tenant=tenant, host=host, port=port)


def _announce(endpoint: DynamoDBEndpoint, tenant: str) -> None:
    if not print_document({"url": endpoint.url, "tenant": tenant}):
        say(f"serving tenant {tenant} at {endpoint.url}")
        say(f"  aws dynamodb list-tables --endpoint-url {endpoint.url} --region us-east-1")
    sys.stdout.flush()


@data.command()
@click.option("--backend", type=click.Choice(sorted(EXAMPLES)), multiple=True, help="Only this one; may be given again.")
@with_global_options
def capabilities(backend: tuple[str, ...]) -> None:
    """Show what each backend can do, and why where it cannot.

    Drivers declare it, and the conformance suite holds them to it: the cases of a capability run on every driver that does not
    say "none". Everything that is not in the table is demanded of all.
    """
    tables = dict(_tables(backend or tuple(EXAMPLES)))
    documents = _documents(tables)
    if print_document(documents):
        return
    rows = [(one["capability"], str(one["cases"] or "?"), *(one[name]["degree"] for name in tables)) for one in documents]
    print_table(("capability", "cases", *tables), rows)
    for one in documents:
        for name in tables:
            if one[name]["reason"]:
                say(f"{name}, {one['capability']}: {one[name]['reason']}")


Table: TypeAlias = "Mapping[Capability, Support]"


def _tables(names: Iterable[str]) -> Iterator[tuple[str, Table | None]]:
    """What each driver declares; None where its library is not installed."""
    from manor.data.opening import open_driver

    for name in names:
        try:
            yield name, open_driver(EXAMPLES[name]).capabilities
        except UnsupportedError as error:
            say(f"{name}: not installed here. {error.hint}")
            yield name, None


def _documents(tables: Mapping[str, Table | None]) -> list[dict[str, Any]]:
    from manor.data.documents.capabilities import Capability

    cases = _cases()
    return [
        {
            "capability": capability.value,
            "cases": cases.get(capability),
            **{name: _support(table, capability) for name, table in tables.items()},
        }
        for capability in Capability
    ]


def _support(table: Table | None, capability: Capability) -> dict[str, str]:
    if table is None:
        return {"degree": "not installed", "reason": ""}
    return {"degree": table[capability].degree.value, "reason": table[capability].reason}


def _cases() -> Mapping[Capability, int]:
    """How many cases of the suite prove each; unknown where pytest, which the suite needs, is not installed."""
    try:
        from manor.testing.documents.proofs import cases_of
    except ImportError:
        return {}
    return cases_of()
