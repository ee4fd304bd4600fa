"""What SQL sources let through for random searches is what the predicate lets through, whatever the table's columns are."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sql_ground import Types, fill, writable

from manor.control.registry.search.fields import TENANT_INFO, Kind, info_values
from manor.control.registry.search.nodes import (
    Among,
    And,
    Between,
    Compare,
    Comparison,
    IsNull,
    Like,
    Node,
    Not,
    Or,
    Reference,
)
from manor.control.registry.search.predicate import Search, truth
from manor.control.registry.sql_table import DatabaseTenantProvider, SqlPlace
from manor.control.registry.tenant_info import TenantInfo

WORDS = ("a", "A", "b", "ab", "aB", "B", "a.b", "_", "-", "0", "1", "01", "10")
TEXTS = (
    "",
    "a",
    "A",
    "a ",
    " a",
    "é",
    "É",
    "e",
    "ß",
    "ss",
    "😀",
    "a\\b",
    "b%",
    "_",
    "'",
    '"',
    "株",
    "ab\n",
    "\uffff",
    "z" * 40,
    "10",
)
KEYS = ("a", "b", "A", "é", "0", "-1", "q'\"", ":x", "%(p)s")
MOMENTS = tuple(
    dt.datetime(2026, 1, day, 0, 0, 0, micros, tzinfo=dt.UTC) for day, micros in ((1, 0), (1, 1), (2, 0), (2, 999_999))
)
OTHERS = ("enterprise", "ACTIVE", "active", "nobody", "x' OR '1'='1", "%s", ":p")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-11, 11) | st.sampled_from([0.5, 10.0, "10", "true", "a", "é"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=5,
)
DOCUMENTS = st.none() | st.dictionaries(st.sampled_from(KEYS), JSON, max_size=3)


def optional(values: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    """One of them, or nothing."""
    return st.none() | st.sampled_from(values)


ROWS = st.fixed_dictionaries(
    {
        "customer_code": st.sampled_from(["c", "C", "c-1"]),
        "customer_name": st.sampled_from(TEXTS),
        "region": optional(WORDS),
        "tier": optional(("basic", "standard", "enterprise")),
        "status": st.sampled_from(["active", "inactive", "suspended"]),
        "created_at": optional(MOMENTS),
        "updated_at": optional(MOMENTS),
        "database_prefix": optional(WORDS),
        "table_prefix": optional(WORDS),
        "instances": st.sampled_from([["main"], ["main", "test"]]),
        "billing_info": DOCUMENTS,
        "contract_info": DOCUMENTS,
    }
)
FIELDS = st.sampled_from([*TENANT_INFO.fields, "customer_name", "region", "tier", "billing_info", "contract_info"])
PATTERNS = st.lists(st.sampled_from(["%", "_", "\\%", "\\_", "\\\\", "\\a", "a", "A", "b", "é", "株", "😀"]), max_size=4).map(
    "".join
)


@st.composite
def leaves(draw: st.DrawFn) -> Node:
    """One condition."""
    name = draw(FIELDS)
    kind = TENANT_INFO.fields[name].kind
    path = tuple(draw(st.lists(st.sampled_from(KEYS), max_size=2))) if kind is Kind.JSON else ()
    reference = Reference(name=name, path=path)
    texts = st.sampled_from((*WORDS, *TEXTS, *OTHERS))
    numbers = st.integers(-11, 11).map(Decimal)
    one = {Kind.TIME: st.sampled_from(MOMENTS), Kind.JSON: texts | numbers | st.booleans()}.get(kind, texts)
    constant = draw(one)
    ordered = not isinstance(constant, bool) and TENANT_INFO.fields[name].ordered
    comparison = draw(st.sampled_from(list(Comparison) if ordered else [Comparison.EQUAL, Comparison.UNEQUAL]))
    forms: list[Node] = [
        IsNull(reference=reference),
        Compare(reference=reference, comparison=comparison, constant=constant),
        Among(reference=reference, constants=tuple(draw(st.lists(one | st.none(), min_size=1, max_size=3)))),
    ]
    if ordered:
        high = draw(one.filter(lambda other: type(other) is type(constant)))
        forms.append(Between(reference=reference, low=constant, high=high))
    if kind is not Kind.TIME:
        forms.append(Like(reference=reference, pattern=draw(PATTERNS), any_case=draw(st.booleans())))
    return draw(st.sampled_from(forms))


TREES = st.recursive(
    leaves(),
    lambda inner: (
        inner.map(lambda node: Not(operand=node))
        | st.lists(inner, min_size=2, max_size=3).map(lambda nodes: And(operands=tuple(nodes)))
        | st.lists(inner, min_size=2, max_size=3).map(lambda nodes: Or(operands=tuple(nodes)))
    ),
    max_leaves=5,
)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """One database, open for all of a test's examples."""

    types: Types
    engine: sa.Engine
    provider: DatabaseTenantProvider

    def compare(self, rows: list[dict[str, Any]], trees: list[Node]) -> None:
        """Search and count of the source against the predicate over all that it has."""
        self.put(rows)
        everybody = self.found(None)
        assert len(everybody) == len(rows)
        for tree in trees:
            search = Search(text=str(tree), root=tree, fields=TENANT_INFO)
            expected = [info for info in everybody if truth(tree, TENANT_INFO, info_values(info)) is True]
            assert self.found(search) == expected, str(tree)
            assert self.provider._count(search) == len(expected), str(tree)

    def put(self, rows: list[dict[str, Any]]) -> None:
        """These and no others."""
        table = self.types.table(sa.MetaData())
        with self.engine.begin() as connection:
            connection.execute(sa.delete(table))
            numbered = enumerate(rows)
            connection.execute(sa.insert(table), [self.types.values({**row, "tenant_id": f"t{at}"}) for at, row in numbered])

    def found(self, search: Search | None) -> list[TenantInfo]:
        """By the source."""
        return [info for page in self.provider._pages(search) for info in page]


@pytest.fixture
def open_ground() -> Iterator[Callable[[str], Ground]]:
    """``open_ground(url)``: closed at the end."""
    opened: list[Ground] = []

    def ground(url: str) -> Ground:
        fill(url, [], {})
        provider = DatabaseTenantProvider(SqlPlace(source="crm", url=url))
        opened.append(Ground(types=Types(url), engine=writable(url, kept=True), provider=provider))
        return opened[-1]

    yield ground
    for one in opened:
        one.engine.dispose()
        one.provider._engine.dispose()


@pytest.fixture
def postgres(open_ground: Callable[[str], Ground], postgres_url: str) -> Ground:
    return open_ground(postgres_url)


@pytest.fixture
def mariadb_table(open_ground: Callable[[str], Ground], mysql_url: str) -> Ground:
    return open_ground(mysql_url)


@pytest.fixture
def sqlite(open_ground: Callable[[str], Ground], sqlite_url: str) -> Ground:
    return open_ground(sqlite_url)


random_searches = given(rows=st.lists(ROWS, min_size=1, max_size=4), trees=st.lists(TREES, min_size=1, max_size=8))
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@unhurried
@random_searches
def test_postgresql_and_predicate_agree(postgres: Ground, rows: list[dict[str, Any]], trees: list[Node]) -> None:
    """Texts by bytes, points in time, and parts of JSON, all asked of the server."""
    postgres.compare(rows, trees)


@unhurried
@random_searches
def test_mariadb_and_predicate_agree(mariadb_table: Ground, rows: list[dict[str, Any]], trees: list[Node]) -> None:
    """Though its collation finds 'a', 'A' and 'á' alike and does not see blanks at the end."""
    mariadb_table.compare(rows, trees)


@unhurried
@random_searches
def test_sqlite_and_predicate_agree(sqlite: Ground, rows: list[dict[str, Any]], trees: list[Node]) -> None:
    """Though its LIKE does not see the case of letters."""
    sqlite.compare(rows, trees)
