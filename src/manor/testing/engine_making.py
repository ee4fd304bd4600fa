"""The engine suite, first half: how a tenant's database comes to be."""
# ruff: noqa: S101 - asserting is what a suite does

from __future__ import annotations

import json
import re
from dataclasses import replace
from decimal import Decimal

import pytest

from manor.control.engines.driver import Fill, ServerDriver
from manor.control.templates.model import BoundDataset, Schema, Sql
from manor.errors import Code, EngineError, ManorError
from manor.testing.engine_fixtures import EngineFixtures, Make, publication
from manor.testing.engine_samples import (
    AWKWARD_PASSWORD,
    AWKWARD_TEXT,
    COPY_ROWS,
    Golden,
    ServerBench,
    customers,
    customers_with_ids,
    isolation,
    many_customers,
    marker,
    new_login,
    orders,
    sample_schema,
    sample_spec,
)


class MakingPromises(EngineFixtures):
    """Golden databases, copies, roles, rows, and the last step that opens a database."""

    # Golden databases

    async def test_a_golden_database_is_sealed(self, server: ServerDriver, bench: ServerBench, golden: Golden) -> None:
        """It is marked, its provisional name is gone, and nobody can connect: not a tenant, not the administrator."""
        found = await server.databases()
        assert golden.spec.building not in found
        assert found[golden.spec.database].marker is not None
        with pytest.raises(bench.refused):
            await bench.ask(bench.admin_url(golden.spec.database), "SELECT 1")
        with pytest.raises(ManorError):
            await server.fingerprint(golden.spec.database, golden.spec.isolation)

    async def test_a_golden_database_holds_no_rows_of_nobody(self, server: ServerDriver, golden: Golden, name: str) -> None:
        """A row of an isolated table in a golden would be every tenant's and no tenant's; nothing is left of the try."""
        spec = replace(golden.spec, database=name, building=f"{name}_building", rows=(customers("smuggled"),))
        with pytest.raises(EngineError, match="customers") as error:
            await server.build_golden(spec)
        assert error.value.code is Code.BAD_INPUT
        assert not error.value.transient
        assert not {name, spec.building} & (await server.databases()).keys()

    async def test_a_role_that_manor_did_not_make_is_left_alone(
        self, server: ServerDriver, bench: ServerBench, name: str
    ) -> None:
        """It does not get the tenant's password, and none of the others of the same call is made."""
        await bench.ask(bench.admin_url("postgres"), f"CREATE ROLE {name}_stranger")
        with pytest.raises(EngineError, match=f"{name}_stranger") as error:
            await server.create_roles([new_login(f"{name}_a"), new_login(f"{name}_stranger")])
        assert error.value.code is Code.CONFLICT
        assert f"{name}_a" not in await server.roles()

    async def test_build_golden_returns_the_fingerprint_that_its_copies_have(
        self, server: ServerDriver, golden: Golden, make: Make
    ) -> None:
        """The fingerprint is 64 hex digits and equals that of a tenant copied from it."""
        tenant = await make("a")
        assert re.fullmatch("[0-9a-f]{64}", golden.fingerprint)
        assert await server.fingerprint(tenant.database, tenant.isolation) == (golden.fingerprint, True)

    async def test_a_golden_database_that_cannot_be_built_leaves_nothing(
        self, server: ServerDriver, schema: Schema, name: str
    ) -> None:
        """A statement that the server refuses ends in an error, without a database of either name; then it can be built."""
        spec = sample_spec(schema, name)
        broken = replace(spec, schema=replace(schema, sql=(("schema.sql", "CREATE TABLE broken (column nonsense,"),)))
        await server.prepare()
        with pytest.raises(ManorError):
            await server.build_golden(broken)
        assert not [d for d in await server.databases() if d.startswith(name)]
        assert await server.build_golden(spec)

    async def test_a_leftover_does_not_stop_building_and_a_finished_golden_is_never_replaced(
        self, server: ServerDriver, golden: Golden, name: str
    ) -> None:
        """A half-made database of the provisional name gives way; a finished one is a conflict, and stays as it is."""
        spec = replace(golden.spec, database=name, building=f"{name}_building")
        await server.clone(golden.spec.database, spec.building)
        assert await server.build_golden(spec) == golden.fingerprint
        with pytest.raises(ManorError) as refusal:
            await server.build_golden(replace(spec, rows=()))
        assert refusal.value.code is Code.CONFLICT
        assert [d for d in await server.databases() if d.startswith(name)] == [name]

    # Cloning and opening

    async def test_a_clone_brings_the_shared_rows(self, bench: ServerBench, make: Make) -> None:
        """What was loaded once is in every copy, character by character."""
        tenant = await make("a")
        rows = await bench.ask(tenant.url, "SELECT name, value FROM settings ORDER BY name")
        assert rows == [("awkward", AWKWARD_TEXT), ("theme", "dark")]

    async def test_clone_refuses_a_name_that_is_taken(self, server: ServerDriver, golden: Golden, name: str) -> None:
        """Copying over an existing database is a conflict; copying from nothing is not found."""
        await server.clone(golden.spec.database, name)
        with pytest.raises(EngineError) as taken:
            await server.clone(golden.spec.database, name)
        assert taken.value.code is Code.CONFLICT
        with pytest.raises(EngineError) as absent:
            await server.clone(f"{name}_absent", f"{name}_b")
        assert absent.value.code is Code.NOT_FOUND

    async def test_restrict_shuts_everybody_out_and_marks(
        self, server: ServerDriver, bench: ServerBench, golden: Golden, name: str
    ) -> None:
        """A fresh copy is open to every role (copies lose their source's rights); restricted, it is closed and marked."""
        login = new_login(name)
        await server.create_roles([login])
        await server.clone(golden.spec.database, name)
        for url in (server.url(name, login), bench.admin_url(name)):
            with pytest.raises(bench.refused):  # its shared rows could be changed before anything is marked
                await bench.ask(url, "SELECT 1")
        await server.restrict({name: marker("building", tenant="t", operation="op")})
        assert await bench.ask(bench.admin_url(name), "SELECT 1") == [(1,)]
        with pytest.raises(bench.refused):
            await bench.ask(server.url(name, login), "SELECT 1")
        assert (await server.databases())[name].marker == marker("building", tenant="t", operation="op")
        await server.restrict({name: marker("warm")})
        assert (await server.databases())[name].marker == marker("warm")

    async def test_restrict_is_all_or_none(self, server: ServerDriver, golden: Golden, name: str) -> None:
        """One database that is not there leaves the others unmarked."""
        await server.clone(golden.spec.database, name)
        with pytest.raises(EngineError) as error:
            await server.restrict({name: marker("building"), f"{name}_absent": marker("building")})
        assert error.value.code is Code.NOT_FOUND
        assert (await server.databases())[name].marker is None

    async def test_create_roles_makes_new_ones_and_gives_existing_ones_the_password(
        self, server: ServerDriver, bench: ServerBench, make: Make
    ) -> None:
        """After it every role has the password of its login, whether it was there before or not."""
        tenant = await make("a")
        changed = replace(tenant.login, password=AWKWARD_PASSWORD)
        await server.create_roles([changed, new_login(f"{tenant.database}_other")])
        assert f"{tenant.database}_other" in await server.roles()
        assert await bench.ask(server.url(tenant.database, changed), "SELECT 1") == [(1,)]
        with pytest.raises(bench.refused):
            await bench.ask(tenant.url, "SELECT 1")

    async def test_create_roles_is_all_or_none(self, server: ServerDriver, name: str) -> None:
        """One role that cannot be made leaves none of the others."""
        await server.prepare()
        with pytest.raises(ManorError):
            await server.create_roles([new_login(f"{name}_a"), new_login("")])
        assert f"{name}_a" not in await server.roles()

    # Filling

    async def test_rows_arrive_typed(self, bench: ServerBench, make: Make) -> None:
        """JSON, exact decimals, NULL, bytes, and text that looks like anything else come back as they were given."""
        profile = {"nested": [1, "2", None, True, AWKWARD_TEXT], "exact": Decimal("0.10")}
        exact = Decimal("1234567890123456.7891")
        tenant = await make("a", customers("x", balance=exact, profile=profile, photo=b"\x00\xff\\n", note=AWKWARD_TEXT))
        rows = await bench.ask(tenant.url, "SELECT balance, profile, photo, note FROM customers")
        balance, found, photo, note = rows[0]
        assert (balance, bytes(photo), note) == (exact, b"\x00\xff\\n", AWKWARD_TEXT)
        document = found if isinstance(found, dict) else json.loads(found)
        assert document["nested"] == profile["nested"]
        tenant = await make("b", customers("x", balance=None, profile=None, photo=None, note=None))
        assert await bench.ask(tenant.url, "SELECT balance, profile, photo, note FROM customers") == [(None,) * 4]

    async def test_rows_without_numbers_come_after_those_that_bring_theirs(self, bench: ServerBench, make: Make) -> None:
        """In one load, by single rows and in bulk: the counter goes on behind the numbers given so far."""
        tenant = await make("a", customers_with_ids((1, "first"), (7, "seventh")), customers("next"))
        assert await bench.ask(tenant.url, "SELECT id FROM customers WHERE name = 'next'") == [(8,)]
        tenant = await make("b", many_customers(), customers("next"))
        assert await bench.ask(tenant.url, "SELECT id FROM customers WHERE name = 'next'") == [(COPY_ROWS + 1,)]

    async def test_lists_arrive_as_lists(self, bench: ServerBench, make: Make) -> None:
        """Where the engine has columns of lists, a list is stored as one, also an empty one and one with NULL."""
        if bench.list_type is None:
            pytest.skip("the engine has no columns of lists")
        rows = BoundDataset(
            table="customers", columns=("name", "numbers"), rows=(("a", [3, 1, 2]), ("b", []), ("c", [None, -1]), ("d", None))
        )
        tenant = await make("a", rows)
        found = await bench.ask(tenant.url, "SELECT numbers FROM customers ORDER BY name")
        assert [row[0] for row in found] == [[3, 1, 2], [], [None, -1], None]

    async def test_only_what_is_marked_as_sql_is_sql(self, bench: ServerBench, make: Make) -> None:
        """An expression is evaluated by the server; the same words as text stay text."""
        tenant = await make("a", customers("x", note=Sql("upper('evaluated')")), customers("y", note="upper('evaluated')"))
        found = await bench.ask(tenant.url, "SELECT note FROM customers ORDER BY name")
        assert found == [("EVALUATED",), ("upper('evaluated')",)]

    async def test_the_isolated_column_holds_the_tenants_value_and_no_other(self, bench: ServerBench, make: Make) -> None:
        """Its default is the tenant's value, quotes and all; a row with another value is refused."""
        tenant = await make("a", customers("x"), value="o'brien \\ co")
        await bench.ask(tenant.url, "INSERT INTO customers (name) VALUES ('later')")
        assert await bench.ask(tenant.url, "SELECT DISTINCT tenant FROM customers") == [("o'brien \\ co",)]
        with pytest.raises(bench.refused):
            await bench.ask(tenant.url, "INSERT INTO customers (name, tenant) VALUES ('intruder', 'other')")

    async def test_many_rows_are_loaded_like_few(self, bench: ServerBench, make: Make) -> None:
        """Rows that go in bulk arrive typed as well, and the next id follows the highest of them."""
        tenant = await make("a", many_customers())
        found = await bench.ask(tenant.url, "SELECT count(*), count(note), max(id), sum(balance) FROM customers")
        assert found == [(COPY_ROWS, 0, COPY_ROWS, Decimal(COPY_ROWS * (COPY_ROWS + 1)) / 8)]
        profile = (await bench.ask(tenant.url, "SELECT profile FROM customers WHERE id = 700"))[0][0]
        assert (profile if isinstance(profile, dict) else json.loads(profile)) == {"n": 700, "text": AWKWARD_TEXT}
        await bench.ask(tenant.url, "INSERT INTO customers (name) VALUES ('next')")
        assert await bench.ask(tenant.url, "SELECT id FROM customers WHERE name = 'next'") == [(COPY_ROWS + 1,)]

    async def test_ids_continue_behind_explicit_ones(self, bench: ServerBench, make: Make) -> None:
        """Rows with ids of their own do not collide with those that the database gives later."""
        tenant = await make("a", customers_with_ids((41, "x"), (7, "y")))
        await bench.ask(tenant.url, "INSERT INTO customers (name) VALUES ('next')")
        assert await bench.ask(tenant.url, "SELECT id FROM customers WHERE name = 'next'") == [(42,)]

    async def test_ids_that_later_rows_bring_along_are_foreseen(
        self, server: ServerDriver, bench: ServerBench, golden: Golden, name: str
    ) -> None:
        """A golden database that is told of tenants' numbers leaves their ids free, and gives none of its own twice."""
        schema = sample_schema(bench.list_type, tenant_default="'nobody'")
        shared = (customers_with_ids((1, "shared")), orders((30, 1)))
        later = {("customers", "id"): 41, ("orders", "id"): 5}
        spec = replace(golden.spec, database=name, building=f"{name}_building", schema=schema, isolation=())
        await server.build_golden(replace(spec, rows=shared, numbers_taken=later))
        await server.clone(name, f"{name}_a")
        await server.restrict({f"{name}_a": marker("building")})
        bound = (customers_with_ids((41, "x"), (7, "y")), orders((5, 41)))
        await server.fill(f"{name}_a", Fill(schema=schema, rows=bound))
        url = bench.admin_url(f"{name}_a")
        await bench.ask(url, "INSERT INTO customers (name) VALUES ('next')")
        await bench.ask(url, "INSERT INTO orders (customer_id) VALUES (1)")
        assert await bench.ask(url, "SELECT max(id) FROM customers") == [(42,)]
        assert await bench.ask(url, "SELECT max(id) FROM orders") == [(31,)]

    @pytest.mark.parametrize("bulk", [False, True], ids=["few", "many"])
    async def test_a_row_that_fails_leaves_nothing(
        self, server: ServerDriver, bench: ServerBench, golden: Golden, name: str, bulk: bool
    ) -> None:
        """Filling is one transaction: neither earlier rows nor the isolation value stay."""
        await server.clone(golden.spec.database, name)
        await server.restrict({name: marker("building")})
        good = many_customers() if bulk else customers("x", "y")
        rows = (good, BoundDataset(table="orders", columns=("customer_id",), rows=((-1,),)))
        with pytest.raises(ManorError) as error:
            await server.fill(name, Fill(schema=golden.spec.schema, isolation=isolation("mine"), rows=rows))
        assert not error.value.transient
        assert await bench.ask(bench.admin_url(name), "SELECT count(*) FROM customers") == [(0,)]
        assert (await server.fingerprint(name, isolation("mine")))[1] is False

    # Publishing

    async def test_publish_renames_marks_and_lets_the_role_in(
        self, server: ServerDriver, bench: ServerBench, make: Make
    ) -> None:
        """Afterwards the provisional name is gone, the marker is the final one, and the tenant's role gets in and works."""
        tenant = await make("a", customers("x"))
        found = await server.databases()
        assert f"{tenant.database}_new" not in found
        assert found[tenant.database].marker == marker("tenant", tenant="a")
        await bench.ask(tenant.url, "UPDATE customers SET note = 'mine'")
        assert await bench.ask(tenant.url, "SELECT name, note FROM customers") == [("x", "mine")]
        with pytest.raises(bench.refused):
            await bench.ask(tenant.url, "DROP TABLE customers")

    async def test_publish_is_all_or_none(
        self, server: ServerDriver, bench: ServerBench, golden: Golden, make: Make, name: str
    ) -> None:
        """Where one name is taken nobody is renamed, and nobody is let in."""
        taken = await make("taken")
        logins = [new_login(f"{name}_{suffix}") for suffix in ("a", "b")]
        await server.create_roles(logins)
        for suffix in ("a", "b"):
            await server.clone(golden.spec.database, f"{name}_{suffix}_new")
        await server.restrict({f"{name}_{suffix}_new": marker("building") for suffix in ("a", "b")})
        wanted = [
            publication(f"{name}_a_new", f"{name}_a", "a"),
            publication(f"{name}_b_new", taken.database, "b", f"{name}_b"),
        ]
        with pytest.raises(EngineError) as error:
            await server.publish(wanted)
        assert error.value.code is Code.CONFLICT
        found = await server.databases()
        assert {f"{name}_a_new", f"{name}_b_new"} <= found.keys()
        assert found[f"{name}_a_new"].marker == marker("building")
        assert found[taken.database].marker == marker("tenant", tenant="taken")
        with pytest.raises(bench.refused):
            await bench.ask(server.url(f"{name}_a_new", logins[0]), "SELECT 1")
