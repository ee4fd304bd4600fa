"""From a URL to a store. A driver and its library are imported only when somebody asks for them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from manor.data.documents.collection import DatabaseInterface
from manor.data.documents.driver import Driver
from manor.data.documents.options import Options
from manor.data.documents.query.parser import nearest
from manor.data.documents.tables import Table
from manor.errors import InputError, UnsupportedError

SCHEMES: dict[str, tuple[str, str]] = {
    "memory": ("manor.data.documents.memory", ""),
    "sqlite": ("manor.data.documents.sqlite", ""),
    "postgresql": ("manor.data.documents.postgres", "asyncpg"),
    "postgres": ("manor.data.documents.postgres", "asyncpg"),
    "dynamodb": ("manor.data.documents.dynamodb", "dynamodb"),
    "cosmos": ("manor.data.documents.cosmos", "cosmos"),
}
"""Scheme → the module whose ``open_driver`` makes the driver, and the extra of the package that it needs."""

_COUNTS = frozenset({"connections", "max_connections"})
"""Options of drivers that count something."""


def connect(
    url: str,
    *,
    tenant: str | None = None,
    tables: Iterable[Table] = (),
    credentials: Mapping[str, str] | None = None,
    cursor_key: bytes | None = None,
    allow_scans: bool = False,
    options: Options | None = None,
    **driver_options: Any,
) -> DatabaseInterface:
    """The store at ``url``, bound to ``tenant``; nobody is contacted before ``async with`` or ``open()``.

    URLs: ``memory://``, ``sqlite:///file``, ``postgresql://…``, ``dynamodb://region?endpoint=…``, ``cosmos://…``. Without
    ``credentials`` each cloud's own chain finds them. Without ``tenant`` only ``for_tenant`` can be used. Further options are
    the driver's, such as the size of a pool. Raises ``InputError`` for a URL that cannot be used, ``UnsupportedError`` for
    a driver whose library is not installed.
    """
    chosen = options or Options()
    if allow_scans:
        chosen = replace(chosen, allow_scans=True)
    if cursor_key is not None:
        chosen = replace(chosen, cursor_key=cursor_key)
    driver = open_driver(url, credentials=credentials, **driver_options)
    return DatabaseInterface(driver, tables=tables, tenant=tenant, options=chosen)


def open_driver(url: str, *, credentials: Mapping[str, str] | None = None, **driver_options: Any) -> Driver:
    """The driver for ``url``, not connected yet. Raises ``InputError``, ``UnsupportedError``."""
    scheme = _scheme(url)
    _check_counts(driver_options)
    if scheme not in SCHEMES:
        hint = nearest(scheme, SCHEMES, "did you mean") or f"one of {', '.join(SCHEMES)}"
        raise InputError(f"there is no document store {scheme or '(no scheme)'!r}", hint=hint)
    module, extra = SCHEMES[scheme]
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        hint = f"pip install 'manor[{extra}]'" if extra else ""
        raise UnsupportedError(
            f"the document store {scheme} cannot be used here: {error.name} is missing", hint=hint
        ) from error
    try:
        driver: Driver = found.open_driver(url, credentials=credentials, **driver_options)
    except TypeError as error:
        if "open_driver" not in str(error):
            raise
        raise InputError(f"the document store {scheme} does not know an option: {error}") from error
    return driver


def _check_counts(options: Mapping[str, Any]) -> None:
    for name in _COUNTS & options.keys():
        if type(options[name]) is not int or options[name] < 1:
            raise InputError(f"{name} is {options[name]!r}", hint="a whole number from 1")


def _scheme(url: str) -> str:
    """Of a URL that can be taken apart, and holds nothing that no driver would look at. Errors do not repeat it: there may be
    a password in it."""
    if not isinstance(url, str):
        raise InputError(f"the URL of a document store is a str, not {type(url).__name__}")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError(f"the URL of the document store cannot be read: {error}") from error
    if "#" in url:
        raise InputError("the URL of the document store holds a #", hint="write it as %23")
    return parts.scheme
