"""``dynamodb://region?endpoint=…`` and its options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from manor.data.documents.dynamodb.connection import Connection
from manor.data.documents.dynamodb.driver import DynamoDriver
from manor.errors import InputError

_CREDENTIALS = ("access_key_id", "secret_access_key", "session_token")
_PARAMETERS = ("endpoint", "tables", "prefix")
_PREFIX = re.compile(r"[A-Za-z0-9_.]{1,128}")


def open_driver(
    url: str,
    *,
    credentials: Mapping[str, str] | None = None,
    max_connections: int = 64,
    connect_timeout_seconds: float = 5,
    read_timeout_seconds: float = 10,
) -> DynamoDriver:
    """The driver for ``dynamodb://region``; nobody is contacted.

    Parameters of the URL: ``endpoint`` (another server than AWS), ``tables=shared`` (all tenants in one table for each declared
    one) and its ``prefix`` (``manor``). ``credentials`` has ``access_key_id``, ``secret_access_key`` and perhaps
    ``session_token``; without it boto3's chain finds them. Raises ``InputError``.
    """
    parts = urlsplit(url)
    parameters = _parameters(parts.query)
    if parts.path.strip("/") or "@" in parts.netloc:
        raise InputError(
            "a URL of DynamoDB has a region and nothing else", hint="dynamodb://eu-central-1?endpoint=http://127.0.0.1:8000"
        )
    connection = Connection(
        region=parts.netloc or None,
        endpoint=parameters.get("endpoint"),
        credentials=_checked(credentials),
        max_connections=max_connections,
        connect_timeout_seconds=connect_timeout_seconds,
        read_timeout_seconds=read_timeout_seconds,
    )
    return DynamoDriver(connection, shared_prefix=_shared_prefix(parameters))


def _parameters(query: str) -> dict[str, str]:
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(parameters.keys() - set(_PARAMETERS)):
        raise InputError(f"a URL of DynamoDB has no parameter {unknown[0]!r}", hint=f"one of {', '.join(_PARAMETERS)}")
    return parameters


def _shared_prefix(parameters: dict[str, str]) -> str | None:
    kind, prefix = parameters.get("tables", "own"), parameters.get("prefix", "manor")
    if kind not in {"own", "shared"}:
        raise InputError(f"tables={kind} is not known", hint="tables=own, a table for each tenant, or tables=shared")
    if not _PREFIX.fullmatch(prefix):
        raise InputError("the prefix of shared tables has other characters", hint="letters, digits, '_' and '.', at most 128")
    if kind == "own" and "prefix" in parameters:
        raise InputError("prefix= belongs to tables=shared", hint="a tenant's own tables are named after the tenant")
    return prefix if kind == "shared" else None


def _checked(credentials: Mapping[str, str] | None) -> dict[str, str]:
    given = {name: value for name, value in (credentials or {}).items() if value is not None}
    if unknown := sorted(given.keys() - set(_CREDENTIALS)):
        raise InputError(f"credentials of DynamoDB have no {unknown[0]!r}", hint=f"they are {', '.join(_CREDENTIALS)}")
    if given and not {"access_key_id", "secret_access_key"} <= given.keys():
        raise InputError("credentials of DynamoDB need access_key_id and secret_access_key")
    return given
