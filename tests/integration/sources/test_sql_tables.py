"""Tables as companies have them: other names, other types, settings in other shapes, and what is said where they do not fit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sql_ground import writable
from sqlalchemy.engine import make_url

from manor.control.registry.provider import PAGE
from manor.control.registry.sql_table import DatabaseTenantProvider, SqlPlace, TableNames
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import Code, ConflictError, EngineError, InputError, UnreachableError

Open = Callable[..., DatabaseTenantProvider]


@pytest.fixture
async def source() -> AsyncIterator[Open]:
    """``source(url, tenant_table=…)``: a source that is closed at the end."""
    opened: list[DatabaseTenantProvider] = []

    def open_it(url: str, **names: Any) -> DatabaseTenantProvider:
        opened.append(DatabaseTenantProvider(SqlPlace(source="crm", url=url, timeout_seconds=5), TableNames(**names)))
        return opened[-1]

    yield open_it
    for one in opened:
        await one.aclose()


def run(url: str, *statements: str) -> None:
    engine = writable(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


POSTGRES = (
    "CREATE SCHEMA sales",
    "CREATE TYPE sales.state AS ENUM ('active', 'suspended')",
    "CREATE TABLE sales.customers (no integer PRIMARY KEY, code char(8), company text, class varchar(20),"
    " state sales.state NOT NULL, since date, changed timestamp, kinds jsonb, contract jsonb, guid uuid)",
    "INSERT INTO sales.customers VALUES (7, 'acme', 'Acme', NULL, 'active', '2026-01-02', '2026-03-01 09:30',"
    " '[\"main\", \"qa\"]', '{\"seats\": 5}', '6f1c0c4e-0000-0000-0000-000000000001')",
    "INSERT INTO sales.customers VALUES (12, 'beta', NULL, 'premium', 'suspended')",
    "CREATE VIEW sales.everybody AS SELECT * FROM sales.customers",
)
NAMES: dict[str, Any] = {
    "tenant_table": "sales.everybody",
    "columns": {
        "tenant_id": "no",
        "customer_code": "code",
        "customer_name": "company",
        "tier": "class",
        "status": "state",
        "created_at": "since",
        "updated_at": "changed",
        "instances": "kinds",
        "contract_info": "contract",
        "database_prefix": "guid",
    },
    "defaults": {"tier": "basic", "region": "eu", "instances": "main;test"},
}


async def test_columns_of_other_names_and_types_become_fields(postgres_url: str, source: Open) -> None:
    """Numbers, CHAR, enumerations, days and UUIDs are texts or points in time; what is missing is the configured default."""
    run(postgres_url, *POSTGRES)
    crm = source(postgres_url, **NAMES)
    first, second = await crm.list_tenants()
    assert first == TenantInfo(
        tenant_id="7",
        customer_code="acme",
        customer_name="Acme",
        tier="basic",
        region="eu",
        status="active",
        created_at="2026-01-02T00:00:00Z",  # type: ignore[arg-type]
        updated_at="2026-03-01T09:30:00Z",  # type: ignore[arg-type]
        instances=("main", "qa"),
        contract_info={"seats": 5},
        database_prefix="6f1c0c4e-0000-0000-0000-000000000001",
    )
    assert (second.tenant_id, second.customer_name, second.tier, second.instances) == ("12", "", "premium", ("main", "test"))
    assert await crm.get_tenant("12") == second


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("tenant_id = '7' OR tenant_id = '012'", ["7"]),
        ("customer_code = 'acme' AND region = 'eu' AND tier = 'basic'", ["7"]),
        ("status <> 'active'", ["12"]),
        ("created_at = '2026-01-02' AND updated_at < '2026-03-01 10:00'", ["7"]),
        ("contract_info.seats >= 5", ["7"]),
        ("customer_name = ''", ["12"]),
        ("tenant_id < '2'", ["12"]),
    ],
)
async def test_searches_see_the_values_of_tenants(postgres_url: str, source: Open, query: str, expected: list[str]) -> None:
    """Defaults included, and numbers as texts."""
    run(postgres_url, *POSTGRES)
    assert [info.tenant_id for info in await source(postgres_url, **NAMES).search_tenants(query)] == expected


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        ({"tenant_table": "sales.customer"}, "there is no table 'sales.customer'", "did you mean 'customers'?"),
        ({"tenant_table": "customers"}, "there is no table 'customers'", "crm.tenants"),
        ({"columns": {"tier": "klass"}}, "has no column 'klass' for tier", "did you mean 'class'?"),
        ({"columns": {"tenant_id": "no"}}, "has no column 'customer_code'", "columns: {customer_code: …}"),
        ({"config_table": "sales.settings"}, "there is no table 'sales.settings'", ""),
    ],
)
async def test_what_is_not_there_is_named(
    postgres_url: str, source: Open, names: dict[str, Any], message: str, hint: str
) -> None:
    """With what there is."""
    run(postgres_url, *POSTGRES)
    with pytest.raises(InputError) as raised:
        await source(postgres_url, **{**NAMES, **names}).get_tenant_count()
    assert message in raised.value.message
    assert "source crm" in raised.value.message
    assert hint in raised.value.hint


TENANTS = "CREATE TABLE tenants (tenant_id varchar(40), customer_code varchar(40), region varchar(40))"
TWO = "INSERT INTO tenants (tenant_id, customer_code) VALUES ('t1', 'a'), ('t2', 'a')"


@pytest.mark.parametrize(
    ("table", "rows", "names", "expected"),
    [
        (
            "(tenant_id text, key text, value text)",
            "('t1', 'plan', 'gold'), ('t1', 'seats', '007'), ('t2', 'plan', NULL)",
            {},
            {"plan": "gold", "seats": "007"},
        ),
        (
            "(owner text, k text, v integer)",
            "('t1', 'seats', 7)",
            {"tenant_id": "owner", "key": "k", "value": "v"},
            {"seats": 7},
        ),
        ("(tenant_id text, plan text, seats integer)", "('t1', 'gold', 7)", {}, {"plan": "gold", "seats": 7}),
        ("(tenant_id text, config text)", "('t1', '{\"a\": [1, null]}')", {}, {"a": [1, None]}),
        ("(tenant_id text, config text)", "('t2', '{}')", {}, {}),
    ],
)
async def test_settings_may_stand_in_three_forms(
    sqlite_url: str, source: Open, table: str, rows: str, names: dict[str, str], expected: dict[str, Any]
) -> None:
    """JSON in one column, a row for each, or a column for each."""
    run(sqlite_url, TENANTS, TWO, f"CREATE TABLE tenant_configs {table}", f"INSERT INTO tenant_configs VALUES {rows}")
    assert await source(sqlite_url, config_columns=names).get_tenant_config("t1") == expected


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("('t1', '{\"a\": ')", "the settings are no JSON"),
        ("('t1', '[1]')", "the settings must be a JSON object"),
        ("('t1', '{}'), ('t1', '{}')", "there are 2 rows"),
    ],
)
async def test_settings_that_are_none_have_a_place(sqlite_url: str, source: Open, rows: str, message: str) -> None:
    """Which tenant's they are."""
    make = "CREATE TABLE tenant_configs (tenant_id text, config text)"
    run(sqlite_url, TENANTS, TWO, make, f"INSERT INTO tenant_configs VALUES {rows}")
    with pytest.raises(InputError, match=message) as raised:
        await source(sqlite_url).get_tenant_config("t1")
    assert str(raised.value.place) == "crm: table tenant_configs, settings of tenant 't1'"


@pytest.mark.parametrize(
    ("kind", "column", "value", "said"),
    [
        (
            "postgres_url",
            "created_at timestamptz",
            "'infinity'",
            "created_at of tenant 't2': a value of the table cannot be read",
        ),
        ("postgres_url", "created_at timestamptz", "'0044-03-15 BC'", "created_at of tenant 't2'"),
        (
            "postgres_url",
            "billing_info jsonb",
            """('{"a": 1' || repeat('0', 5000) || '}')::jsonb""",
            "billing_info of tenant 't2'",
        ),
        ("sqlite_url", "customer_name text", "CAST(x'ff41' AS text)", "customer_name of tenant 't2'"),
    ],
)
async def test_a_value_that_the_driver_cannot_read_is_told_with_its_tenant_and_field(
    request: pytest.FixtureRequest, source: Open, kind: str, column: str, value: str, said: str
) -> None:
    """By each way of asking, as something that is wrong in the table."""
    url = request.getfixturevalue(kind)
    run(url, f"CREATE TABLE tenants (tenant_id varchar(40), customer_code varchar(40), {column})")
    run(url, f"INSERT INTO tenants VALUES ('t3', 'a', NULL), ('t2', 'a', {value}), ('t1', 'a', NULL)")
    crm = source(url)
    for asked in (listed(crm, close=False), crm.list_tenants(), crm.get_tenant("t2"), crm.search_tenants("tenant_id <> 'x'")):
        with pytest.raises(EngineError) as raised:
            await asked
        assert raised.value.code is Code.CORRUPT
        assert said in raised.value.message
        assert raised.value.place is not None
        assert raised.value.hint
    assert (await crm.get_tenant("t1")).tenant_id == "t1"


async def test_a_view_that_divides_by_nothing_is_told_with_its_field(postgres_url: str, source: Open) -> None:
    """The server does not say at which row."""
    run(postgres_url, TENANTS, TWO)
    run(postgres_url, "CREATE VIEW every AS SELECT tenant_id, customer_code, (1 / length(region))::text AS tier FROM tenants")
    run(postgres_url, "UPDATE tenants SET region = ''")
    with pytest.raises(EngineError, match="source crm: tier: a value of the table cannot be read: division by zero") as raised:
        await source(postgres_url, tenant_table="every").list_tenants()
    assert raised.value.code is Code.CORRUPT
    assert "column tier" in raised.value.hint


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("billing_info", "''", None),
        ("billing_info", "'{'", "billing_info cannot be read: EOF while parsing"),
        ("billing_info", """'{"a": 1e400}'""", "billing_info cannot be read: the number at a is too large"),
        ("contract_info", "' '", None),
        ("created_at", "''", None),
        ("customer_name", "x'ff41'", "customer_name"),
        ("instances", "'main;'", None),
        ("instances", "'main, '", None),
        ("instances", "''", None),
        ("instances", "'main;;test'", "instances"),
    ],
)
async def test_texts_of_a_table_mean_what_cells_of_a_spreadsheet_do(
    sqlite_url: str, source: Open, column: str, value: str, expected: str | None
) -> None:
    """An empty one says nothing, a list may end in its separator; what is wrong is told by its field."""
    run(sqlite_url, f"CREATE TABLE tenants (tenant_id text, customer_code text, {column} text)")
    run(sqlite_url, f"INSERT INTO tenants VALUES ('t1', 'a', {value})")
    if expected is None:
        assert await source(sqlite_url).list_tenants() == [TenantInfo(tenant_id="t1", customer_code="a")]
        return
    with pytest.raises(InputError, match=expected) as raised:
        await source(sqlite_url).list_tenants()
    assert str(raised.value.place) == "crm: table tenants, row of tenant 't1'"


async def test_a_row_without_an_id_is_told_as_one(sqlite_url: str, source: Open) -> None:
    """There is no tenant 'None'."""
    run(sqlite_url, TENANTS, "INSERT INTO tenants (customer_code) VALUES ('a')")
    with pytest.raises(InputError, match="tenant_id") as raised:
        await source(sqlite_url).list_tenants()
    assert str(raised.value.place) == "crm: table tenants, a row without a tenant_id"


async def test_ids_that_a_collation_finds_alike_are_different_tenants(mysql_url: str, source: Open) -> None:
    """MariaDB would say that 'T1' and 't1' are one."""
    run(mysql_url, TENANTS, "INSERT INTO tenants (tenant_id, customer_code) VALUES ('T1', 'a'), ('t1', 'b'), ('t2', 'c')")
    crm = source(mysql_url)
    assert [info.tenant_id async for info in crm.iter_tenants()] == ["T1", "t1", "t2"]
    assert (await crm.get_tenant("t1")).customer_code == "b"
    run(mysql_url, "INSERT INTO tenants (tenant_id, customer_code) VALUES ('t1', 'd')")
    with pytest.raises(ConflictError, match="'t1' twice"):
        await crm.get_tenant("t1")


@pytest.mark.parametrize(
    ("kind", "ways"),
    [
        ("postgres_url", ["PRIMARY KEY (tenant_id)", "UNIQUE (tenant_id)", "CHECK (true)"]),
        ("mysql_url", ["PRIMARY KEY (tenant_id)", "UNIQUE (tenant_id)", "KEY (tenant_id)"]),
        ("sqlite_url", ["PRIMARY KEY (tenant_id)", "UNIQUE (tenant_id)", "CHECK (true)"]),
    ],
)
async def test_walks_and_pages_agree_whatever_sorts_them(
    request: pytest.FixtureRequest, source: Open, kind: str, ways: list[str]
) -> None:
    """A primary key, a unique index, or neither."""
    url = request.getfixturevalue(kind)
    for way in ways:
        run(url, f"CREATE TABLE tenants (tenant_id varchar(40) NOT NULL, customer_code varchar(40), {way})")
        rows = ", ".join(f"('{name}', 'a')" for name in ("b", "10", "A", "9", "c_", "D"))
        run(url, f"INSERT INTO tenants VALUES {rows}")
        crm = source(url)
        walk = [info.tenant_id async for info in crm.iter_tenants()]
        assert len(set(walk)) == len(walk) == 6
        assert [info.tenant_id for start in range(6) for info in await crm.list_tenants(offset=start, limit=1)] == walk
        run(url, "DROP TABLE tenants")


async def test_a_walk_sees_one_moment(postgres_url: str, source: Open) -> None:
    """Who is added, renamed or taken away meanwhile changes nothing in it."""
    many = f"INSERT INTO tenants SELECT 't' || to_char(n, 'FM00000'), 'a' FROM generate_series(1, {3 * PAGE}) AS n"
    run(postgres_url, TENANTS, many)
    walk = source(postgres_url).iter_tenants()
    seen = [(await anext(walk)).tenant_id]
    run(postgres_url, "DELETE FROM tenants WHERE tenant_id > 't02000'", "INSERT INTO tenants VALUES ('t00001x', 'a')")
    run(postgres_url, "UPDATE tenants SET tenant_id = 'u' || tenant_id WHERE tenant_id BETWEEN 't01500' AND 't01600'")
    seen += [info.tenant_id async for info in walk]
    assert seen == [f"t{number:05}" for number in range(1, 3 * PAGE + 1)]


async def test_a_walk_that_is_cancelled_gives_its_connection_back(postgres_url: str, source: Open) -> None:
    """While it waits for the server, which another session keeps from answering."""
    run(postgres_url, TENANTS, TWO)
    crm = source(postgres_url)
    assert await crm.get_tenant_count() == 2
    engine = writable(postgres_url)
    with engine.begin() as session:
        session.exec_driver_sql("LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE")
        walk = asyncio.ensure_future(listed(crm, close=False))
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'tenants'::regclass"
        while not session.exec_driver_sql(waiting).scalar_one():  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0)
        walk.cancel()
    engine.dispose()
    with pytest.raises(asyncio.CancelledError):
        await walk
    assert crm._engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert await crm.get_tenant_count() == 2


@pytest.mark.parametrize("kind", ["postgres_url", "mysql_url", "sqlite_url"])
async def test_nothing_can_be_written(request: pytest.FixtureRequest, source: Open, kind: str) -> None:
    """By a transaction of the source, whatever its login may do."""
    url = request.getfixturevalue(kind)
    run(url, TENANTS, TWO)
    crm = source(url)
    with pytest.raises(EngineError, match=r"read.?only|READ ONLY"):
        await asyncio.to_thread(write_by, crm)
    assert await crm.get_tenant_count() == 2


def write_by(crm: DatabaseTenantProvider) -> None:
    with crm._reading() as (connection, _):
        connection.exec_driver_sql("DELETE FROM tenants")


async def test_a_login_that_may_not_read_is_told_so(postgres_url: str, source: Open) -> None:
    """By the server's words, and without the password."""
    run(postgres_url, TENANTS, "CREATE ROLE reader LOGIN PASSWORD 'pass-w0rd'")
    url = make_url(postgres_url).set(username="reader", password="pass-w0rd").render_as_string(hide_password=False)
    with pytest.raises(EngineError) as raised:
        await source(url).get_tenant_count()
    assert raised.value.code is Code.DENIED
    assert "permission denied" in raised.value.message or "authentication failed" in raised.value.message
    assert "pass-w0rd" not in f"{raised.value!r}{raised.value.hint}"


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
async def test_a_database_that_is_away_is_said_to_be(source: Open, scheme: str) -> None:
    """As something that may pass."""
    with pytest.raises(UnreachableError, match="source crm: the database does not answer") as raised:
        await source(f"{scheme}://somebody:pass-w0rd@127.0.0.1:9/x").get_tenant_count()
    assert raised.value.transient
    assert "pass-w0rd" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "oracle://me:pass-w0rd@host/x",
        "postgresql:me:pass-w0rd",
        "postgresql://me:pass-w0rd@host:port/x",
        "sqlite://",
        "sqlite:///missing-pass-w0rd/../nothing.db",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_repeating_it(url: str) -> None:
    """Before anything is contacted; a file that is not there is not made."""
    with pytest.raises(InputError, match="source crm") as raised:
        DatabaseTenantProvider(SqlPlace(source="crm", url=url))
    assert raised.value.hint
    assert "me:" not in str(raised.value)
    assert not Path("nothing.db").exists()


@pytest.fixture
def database_file(tmp_path: Path) -> Path:
    run(f"sqlite:///{tmp_path}/a b.db", TENANTS, TWO)
    return tmp_path / "a b.db"


def test_a_sqlite_path_counts_from_the_project(database_file: Path) -> None:
    """And the file is not changed by being read."""
    before = database_file.read_bytes()
    crm = DatabaseTenantProvider(SqlPlace(source="crm", url="sqlite:///a b.db", folder=database_file.parent))
    assert [info.tenant_id for info in asyncio.run(listed(crm))] == ["t1", "t2"]
    assert database_file.read_bytes() == before


async def listed(crm: DatabaseTenantProvider, *, close: bool = True) -> list[TenantInfo]:
    try:
        return [info async for info in crm.iter_tenants()]
    finally:
        if close:
            await crm.aclose()
