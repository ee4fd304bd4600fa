"""What the engine suite builds: one small schema with every kind of column, its rows, and names that want quoting.

Small on purpose: a golden database of it is built in a fraction of a second, so that the suite can be run against many servers.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from manor.control.engines.driver import GoldenSpec, IsolatedColumn, Login, Marker, ServerDriver
from manor.control.templates.model import BoundCell, BoundDataset, Column, ForeignKey, Index, Schema, Table

CATALOG = "suite"
COPY_ROWS = 700
"""More than any driver sends as single statements."""

AWKWARD_TEXT = "line\none\ttab \\ back\\slash 'single' \"double\" {{ 7*7 }} ${HOME} %s 日本語 🗾"
AWKWARD_PASSWORD = "p@ss:/w%41rd?'\"#& +"  # noqa: S105 - of a role that lives for one test


class ServerBench(Protocol):
    """What the suite needs beside the port, to look at the server as others see it."""

    refused: type[Exception]
    """What ``ask`` and ``session`` raise where the server says no."""

    slow_expression: str
    """An SQL expression (text) that takes a minute to evaluate, and that the server can break off."""

    list_type: str | None
    """How a column holding a list of integers is declared; None where the engine has none."""

    def connect(self, *, operation: str, sessions: int = 8) -> ServerDriver:
        """One more driver on the same server."""
        ...

    def unreachable(self) -> ServerDriver:
        """A driver whose server does not run."""
        ...

    def admin_url(self, database: str) -> str:
        """An administrator's URL of one database."""
        ...

    async def ask(self, url: str, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement as an application with that URL would; the rows, if it has any."""
        ...

    def session(self, url: str) -> AbstractAsyncContextManager[None]:
        """A session that stays open, idle, until the server or the end of the block closes it."""
        ...

    async def sessions_of(self, operation: str) -> tuple[int, int]:
        """(open, busy) sessions of the driver that was made for that operation."""
        ...

    async def open_to_public(self, database: str) -> None:
        """What a careless administrator does: let every role into a database."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """A golden database that was built."""

    spec: GoldenSpec
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A published tenant."""

    database: str
    login: Login
    isolation: tuple[IsolatedColumn, ...]
    url: str


def sample_schema(list_type: str | None, *, tenant_default: str | None = None) -> Schema:
    """Customers with an identity and one column of each kind, their orders, and settings that all tenants share."""
    lists = [Column(name="numbers", type=list_type)] if list_type else []
    customers = Table(
        schema="main",
        name="customers",
        columns=(
            Column(name="id", type="INT", nullable=False, primary_key=1, auto_increment=True),
            Column(name="tenant", type="VARCHAR(100)", nullable=False, default=tenant_default),
            Column(name="name", type="VARCHAR(200)", nullable=False),
            Column(name="balance", type="DECIMAL(20,4)"),
            Column(name="profile", type="JSON"),
            Column(name="photo", type="BLOB"),
            Column(name="note", type="TEXT"),
            *lists,
        ),
        indexes=(Index(name="customers_name", columns=("name",), unique=True),),
    )
    orders = Table(
        schema="main",
        name="orders",
        columns=(
            Column(name="id", type="BIGINT", nullable=False, primary_key=1, auto_increment=True),
            Column(name="customer_id", type="INT", nullable=False),
            Column(name="amount", type="DECIMAL(10,2)", nullable=False, default="0"),
        ),
        foreign_keys=(
            ForeignKey(name="orders_customer", columns=("customer_id",), target_table="customers", target_columns=("id",)),
        ),
    )
    settings = Table(
        schema="main",
        name="settings",
        columns=(
            Column(name="name", type="VARCHAR(50)", nullable=False, primary_key=1),
            Column(name="value", type="TEXT"),
        ),
    )
    return Schema(tables=(customers, orders, settings))


SHARED_ROWS = (BoundDataset(table="settings", columns=("name", "value"), rows=(("theme", "dark"), ("awkward", AWKWARD_TEXT))),)


def sample_spec(schema: Schema, database: str) -> GoldenSpec:
    """A golden database of ``schema`` with the shared rows and the isolated column."""
    return GoldenSpec(
        database=database,
        building=f"{database}_building",
        schema=schema,
        rows=SHARED_ROWS,
        isolation=isolation(""),
        marker=Marker(catalog=CATALOG, kind="golden", template="sample", digest="d" * 64, operation="suite"),
    )


def isolation(value: str) -> tuple[IsolatedColumn, ...]:
    """``customers.tenant`` holds ``value`` and nothing else."""
    return (IsolatedColumn(table="customers", column="tenant", value=value),)


def customers(*names: str, **cells: BoundCell) -> BoundDataset:
    """Rows of ``customers`` with these names, all with the same further cells."""
    return BoundDataset(table="customers", columns=("name", *cells), rows=tuple((name, *cells.values()) for name in names))


def varying(rows: Iterable[BoundDataset]) -> frozenset[tuple[str, str]]:
    """Every column of the rows, as one that the golden database did not foresee."""
    return frozenset((dataset.table, column) for dataset in rows for column in dataset.columns)


def customers_with_ids(*rows: tuple[int, str]) -> BoundDataset:
    """Rows of ``customers`` that bring their ids along."""
    return BoundDataset(table="customers", columns=("id", "name"), rows=rows)


def orders(*rows: tuple[int, int]) -> BoundDataset:
    """Rows of ``orders``: id and customer."""
    return BoundDataset(table="orders", columns=("id", "customer_id"), rows=rows)


def many_customers() -> BoundDataset:
    """So many that they are copied in bulk, with explicit ids."""
    rows = tuple((n, f"customer {n}", Decimal(n) / 4, {"n": n, "text": AWKWARD_TEXT}, None) for n in range(1, COPY_ROWS + 1))
    return BoundDataset(table="customers", columns=("id", "name", "balance", "profile", "note"), rows=rows)


def marker(kind: str, **fields: str) -> Marker:
    """A marker of the suite's catalog."""
    return Marker(catalog=CATALOG, kind=kind, template="sample", **fields)


def new_login(role: str) -> Login:
    """A role with a password of its own."""
    return Login(role=role, password=secrets.token_urlsafe(24))
