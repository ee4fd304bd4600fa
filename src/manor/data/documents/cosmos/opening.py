"""From a URL to a driver that has contacted nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from manor.data.documents.cosmos.connecting import Address
from manor.data.documents.cosmos.driver import CosmosDriver
from manor.errors import InputError

DATABASE = "manor"
CONTAINER = "documents"
_KNOWN = {"endpoint", "hierarchical"}


def open_driver(url: str, *, credentials: Mapping[str, str] | None = None, **options: Any) -> CosmosDriver:
    """``cosmos://account[/database[/container]][?endpoint=URL][&hierarchical=true]``.

    Without ``endpoint`` it is ``https://account.documents.azure.com``. Options: ``connections``, ``clock``.
    Raises ``InputError``.
    """
    return CosmosDriver(parse_address(url), credentials, **options)


def parse_address(url: str) -> Address:
    """What the URL says. Raises ``InputError``."""
    parts = urlsplit(url)
    names = [unquote(name) for name in parts.path.split("/") if name]
    asked = parse_qs(parts.query, keep_blank_values=True)
    if parts.username is not None or parts.password is not None:
        raise InputError("a key does not belong into the URL of a store", hint="credentials={'key': …}, or AZURE_COSMOS_KEY")
    if not (parts.netloc or asked.get("endpoint")) or len(names) > 2 or asked.keys() - _KNOWN:
        raise InputError(
            f"{url!r} is no address of Cosmos DB", hint="cosmos://account/database/container?endpoint=URL&hierarchical=true"
        )
    word = asked.get("hierarchical", ["false"])[0]
    if word not in {"true", "false"}:
        raise InputError(f"hierarchical is {word!r}", hint="true or false")
    host = parts.netloc if "." in parts.netloc else f"{parts.netloc}.documents.azure.com"
    names += [DATABASE, CONTAINER][len(names) :]
    return Address(
        endpoint=asked.get("endpoint", [f"https://{host}"])[0],
        database=names[0],
        container=names[1],
        hierarchical=word == "true",
    )
