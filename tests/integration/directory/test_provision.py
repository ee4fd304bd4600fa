"""Tenants that a source told of get their databases, through the same pipeline as a registry's, and nobody hides another."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import psycopg
import pytest

from manor.control.operations.healthcheck import HealthRequest, healthcheck_recorded
from manor.control.operations.migrate import MigrateRequest, migrate
from manor.control.operations.operation_log import show_operation
from manor.control.operations.selecting import Selection
from manor.control.operations.suspend import suspend
from manor.control.registry.provider import PAGE
from manor.errors import EngineError, InputError, InvalidInput, NotFoundError, RefusedError
from manor.wiring import look_runtime


def statuses(report: Any) -> dict[str, str]:
    return {str(outcome.target.tenant): str(outcome.status) for outcome in report.outcomes}


def details(report: Any) -> dict[str, str]:
    return {str(outcome.target.tenant): outcome.detail for outcome in report.outcomes}


def records(site) -> dict[str, Any]:
    async def read(runtime):
        return {str(record.tenant): record for record in await runtime.catalog.databases()}

    return site.run(read)


def users(site, name: str) -> list[Any]:
    """Rows of a tenant's database, through its own URL."""

    async def read(runtime):
        return (await runtime.catalog.database_by_tenant(name)).url

    with psycopg.connect(site.run(read)) as connection:
        return connection.execute("SELECT username, email, tenant_id FROM users").fetchall()


def test_each_instance_of_each_tenant_found_gets_a_database_of_its_own(site, make_tenant):
    """Names and template are those of environment.j2; rows have the tenant's values in them."""
    site.sync([make_tenant(1, instances=("main", "test")), make_tenant(2), make_tenant(3, tier="premium")])
    report = site.provision("tier = 'standard'")
    assert statuses(report) == {"c1/main/t1": "success", "c1/test/t1": "success", "c2/main/t2": "success"}
    assert report.exit_code == 0
    found = records(site)
    assert {name: (r.database, r.template, r.group, r.source, r.name) for name, r in found.items()} == {
        "c1/main/t1": ("c1_asia_main", "standard_base", "main", "directory:customer_a/crm", "Customer 1"),
        "c1/test/t1": ("c1_asia_test", "standard_base", "test", "directory:customer_a/crm", "Customer 1"),
        "c2/main/t2": ("c2_asia_main", "standard_base", "main", "directory:customer_a/crm", "Customer 2"),
    }
    assert users(site, "c1/test/t1") == [("Customer 1", "test@c1_asia_test", "t1")]


def test_a_second_provision_touches_nothing_and_finds_who_is_new(site, make_tenant):
    site.sync([make_tenant(1)])
    site.provision()
    site.sync([make_tenant(1), make_tenant(2)])
    assert statuses(site.provision()) == {"c1/main/t1": "skipped", "c2/main/t2": "success"}


def test_provisioning_some_tenants_does_not_miss_the_others(site, make_tenant):
    """Those of another query are no orphans, however many they are."""
    site.sync([make_tenant(number, region="asia" if number < 7 else "eu") for number in range(1, 9)])
    site.provision("region = 'asia'")
    report = site.provision("region = 'eu'")
    assert set(statuses(report).values()) == {"success"}
    assert (report.orphans, report.problems) == ((), ())


def test_a_plan_says_what_would_be_done_and_its_digest_is_kept_to(site, make_tenant):
    site.sync([make_tenant(1)])
    planned = site.plan()
    assert statuses(planned) == {"c1/main/t1": "pending"}
    assert (planned.verb, planned.dry_run) == ("provision", True)
    assert records(site) == {}
    site.sync([make_tenant(1), make_tenant(2)])
    with pytest.raises(RefusedError, match="not the reviewed"):
        site.provision(plan_digest=planned.digest)
    assert set(statuses(site.provision("tenant_id = 't1'", plan_digest=planned.digest)).values()) == {"success"}


def test_all_tenants_are_found_not_only_the_first_page(site, make_tenant):
    """The reference's bulk verbs saw 100 of them."""
    count = PAGE + 50
    site.sync([make_tenant(number) for number in range(count)])
    assert len(site.plan().outcomes) == count


def test_what_is_wrong_with_one_tenant_is_said_and_hides_nobody(site, make_tenant):
    long = "x" * 70
    site.sync(
        [
            make_tenant(1),
            make_tenant(2, tier="gold"),
            make_tenant(3, isolation_strategy="schema"),
            make_tenant(4, status="suspended"),
            make_tenant(5, database_prefix=long),
            make_tenant(6, database_prefix="same"),
            make_tenant(7, database_prefix="same"),
            make_tenant(8, customer_name="n" * 101),
            make_tenant(9, customer_name="O'Brien \"& Söhne\"\n{{ 7*7 }} {0} ${HOME} '); DROP TABLE users; --"),
        ],
        {"t2": {"variables": "none"}},
    )
    report = site.provision()
    told = details(report)
    assert statuses(report) == {
        "c1/main/t1": "success",
        "c2/main/t2": "error",
        "c3/main/t3": "error",
        "c4/main/t4": "skipped",
        "c5/main/t5": "error",
        "c6/main/t6": "error",
        "c7/main/t7": "error",
        "c8/main/t8": "error",
        "c9/main/t9": "success",
    }
    assert report.exit_code == 1
    assert "variables of its settings is no mapping" in told["c2/main/t2"]
    assert "isolation_strategy: schema is not supported yet" in told["c3/main/t3"]
    assert "its source says suspended" in told["c4/main/t4"]
    assert "PostgreSQL allows 63" in told["c5/main/t5"]
    assert "would be that of c7/main/t7 too" in told["c6/main/t6"]
    assert "would be that of c6/main/t6 too" in told["c7/main/t7"]
    assert "tenant t8" in told["c8/main/t8"]
    assert users(site, "c9/main/t9")[0][0].startswith("O'Brien")


def test_a_new_tenant_with_the_name_of_a_live_one_is_refused_alone(site, make_tenant):
    """The live one is looked at as ever, whichever comes first."""
    site.sync([make_tenant(5, customer_code="one")])
    site.provision()
    site.sync([make_tenant(number, customer_code="one") for number in (4, 5, 6)])
    report = site.provision()
    assert statuses(report) == {"one/main/t4": "error", "one/main/t5": "skipped", "one/main/t6": "error"}
    assert "would be that of one/main/t5, one/main/t6 too" in details(report)["one/main/t4"]


def test_a_tier_without_a_template_is_said_with_what_to_do_and_a_template_can_be_named(site, make_tenant):
    site.sync([make_tenant(1, tier="gold")])
    report = site.provision()
    assert statuses(report) == {"c1/main/t1": "error"}
    assert details(report)["c1/main/t1"] == "there is no template 'gold_base'"
    assert report.outcomes[0].failure.hint
    assert statuses(site.provision(places={"template": "standard_base"})) == {"c1/main/t1": "success"}


def test_variables_come_from_the_tenants_settings_too(site, make_tenant):
    site.add_template("gold_base", 'instances: ["main"]\ntenant_config:\n  color: "{COLOR} {MAX}"\n')
    site.sync([make_tenant(1, tier="gold"), make_tenant(2, tier="gold")], {"t1": {"variables": {"COLOR": "red", "MAX": 5}}})
    report = site.provision()
    assert statuses(report) == {"c1/main/t1": "success", "c2/main/t2": "error"}
    assert "needs the variable {COLOR}" in details(report)["c2/main/t2"]
    assert records(site)["c1/main/t1"].config["tenant_config"]["color"] == "red 5"


def test_the_projects_own_environment_template_names_databases(site, make_tenant):
    folder = site.project / "templates"
    folder.mkdir()
    (folder / "environment.j2").write_text(
        'name: "{{ tenant.tenant_id }}"\nbase: "standard_base"\ndatabase_config:\n'
        '  main:\n    database_name: "db_{{ tenant.tenant_id }}_{{ config.shard }}"\n',
        encoding="utf-8",
    )
    site.sync([make_tenant(1, tier="gold"), make_tenant(2)], {"t1": {"shard": 7}})
    report = site.provision()
    assert statuses(report) == {"c1/main/t1": "success", "c2/main/t2": "error"}
    assert records(site)["c1/main/t1"].database == "db_t1_7"
    assert "tenant t2" in details(report)["c2/main/t2"]


def test_a_broken_template_is_the_projects_fault_and_stops_all(site, make_tenant):
    site.sync([make_tenant(1)])
    (site.environment / "standard_base" / "main@nothing.dat").write_text("- id: 1\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="nothing"):
        site.provision()
    assert records(site) == {}


def test_a_tenant_whose_name_or_customer_changed_in_the_source_keeps_its_database(site, make_tenant):
    site.sync([make_tenant(1), make_tenant(2), make_tenant(3)])
    site.provision()
    site.sync([make_tenant(1, customer_code="other"), make_tenant(2, region="eu"), make_tenant(3, customer_name="New name")])
    report = site.provision()
    assert statuses(report) == {"other/main/t1": "error", "c2/main/t2": "error", "c3/main/t3": "skipped"}
    assert "recorded as c1/main/t1" in details(report)["other/main/t1"]
    assert "deploy renames nothing" in details(report)["c2/main/t2"]
    assert sorted(records(site)) == ["c1/main/t1", "c2/main/t2", "c3/main/t3"]


def test_databases_of_tenants_that_are_gone_or_suspended_stay_and_are_told_of(site, make_tenant):
    site.sync([make_tenant(1), make_tenant(2)])
    site.provision()
    report = site.sync([make_tenant(1, status="suspended")])
    assert len(report.notices) == 2
    later = site.provision()
    assert statuses(later) == {"c1/main/t1": "skipped"}
    assert any("1 database of tenants that are gone from the source stay as they are" in notice for notice in later.notices)
    assert {r.state for r in records(site).values()} == {"ready"}
    assert users(site, "c2/main/t2")


def test_a_database_that_cannot_be_filled_is_taken_back_and_recorded_so(site, make_tenant, monkeypatch):
    """Status ``rolled_back``, with the cause; nothing of it is left on the server, and the next provision makes it."""
    from manor.control.engines.postgres.driver import PostgresServer

    fill = PostgresServer.fill
    site.sync([make_tenant(1), make_tenant(2)])

    async def failing(self, database, what):
        if any("Customer 1" in row for rows in what.rows for row in rows.rows):
            raise EngineError("no room for this one")
        await fill(self, database, what)

    with monkeypatch.context() as patch:
        patch.setattr(PostgresServer, "fill", failing)
        report = site.provision()
    assert statuses(report) == {"c1/main/t1": "rolled_back", "c2/main/t2": "success"}
    assert (report.exit_code, report.summary) == (1, {"rolled_back": 1, "success": 1})
    assert report.to_json()["outcomes"][0]["error"]["message"] == "no room for this one"

    async def left(runtime):
        server = runtime.servers["main"]
        view = await show_operation(runtime, report.operation)
        names = [name for name in await server.databases() if name.startswith(("c1", "manor_new"))]
        return names, "c1_asia_main" in await server.roles(), view

    names, has_role, view = site.run(left)
    assert (names, has_role) == ([], False)
    assert view.release.operation.verb == "provision"
    assert {t.tenant: t.status for t in view.targets} == {"c1/main/t1": "rolled_back", "c2/main/t2": "success"}
    assert records(site)["c1/main/t1"].state == "failed"
    assert statuses(site.provision()) == {"c1/main/t1": "success", "c2/main/t2": "skipped"}


def test_a_query_over_several_sources_needs_one_to_be_named(site, make_tenant):
    site.sync([make_tenant(1)])
    site.sync([make_tenant(2)], source="billing")
    with pytest.raises(InputError, match="several sources: billing, crm"):
        site.provision()
    assert statuses(site.provision(source="billing")) == {"c2/main/t2": "success"}
    with pytest.raises(NotFoundError, match="'crn' was never synced") as caught:
        site.provision(source="crn")
    assert "crm" in caught.value.hint


def test_two_sources_that_want_one_database_get_it_once(site, make_tenant):
    """The second one is a conflict that names the owner."""
    site.sync([make_tenant(1)])
    site.sync([make_tenant(1, tenant_id="x1")], source="billing")
    site.provision(source="crm")
    report = site.provision("tenant_id = 'x1'", source="billing")
    assert statuses(report) == {"c1/main/x1": "error"}
    assert "belongs to tenant c1/main/t1" in details(report)["c1/main/x1"]


def test_nothing_is_provisioned_before_a_source_was_synced(site):
    with pytest.raises(NotFoundError, match="no source of tenants was ever synced"):
        site.provision()


def test_provisioned_tenants_are_released_like_all_others(site, make_tenant):
    """Their migrations are those of the environment and of their template; new tenants get the release of their neighbours."""
    site.sync([make_tenant(1)])
    site.provision()
    folder = site.environment / "migrations"
    folder.mkdir()
    text = "-- migrate:up\nALTER TABLE users ADD COLUMN nick text;\n-- migrate:down\nALTER TABLE users DROP COLUMN nick;\n"
    (folder / "20260101000000_nick.sql").write_text(text, encoding="utf-8")
    request = MigrateRequest(selection=Selection(everyone=True))
    report = site.run(lambda runtime: migrate(runtime, site.project, request))
    assert statuses(report) == {"c1/main/t1": "success"}
    site.sync([make_tenant(1), make_tenant(2)])
    assert statuses(site.provision()) == {"c1/main/t1": "skipped", "c2/main/t2": "success"}
    assert {r.version for r in records(site).values()} == {"20260101000000"}


def test_settings_of_the_environments_registry_apply_and_its_tenants_stay_apart(site, make_tenant, manor):
    """Hooks, bounds and the guard are the environment's; neither side misses the other's tenants."""
    registry = site.environment / "tenant_registry.yaml"
    registry.write_text(
        'registry_version: "2.0"\ncustomer_info:\n  customer_code: "own"\n  customer_name: "Own"\ndatabase_groups:\n'
        '  main:\n    type: "tenant_group"\n    template: "standard_base"\n    tenant_count: 2\n'
        '    naming_pattern: "own_{tenant_id}"\n'
        '    backup_enabled: false\n    variables:\n      DATABASE_NAME: "own_{tenant_id}"\n      TENANT_TYPE: "x"\n'
        '      TENANT_PREFIX: "own_{tenant_id}"\n      instance: "main"\n'
        "operations:\n  batch_settings:\n    max_parallel: 2\nenvironment_config:\n  security:\n    audit_logging: false\n",
        encoding="utf-8",
    )
    site.sync([make_tenant(number) for number in range(1, 5)])
    with pytest.raises(RefusedError, match="audit_logging"):
        site.provision()
    registry.write_text(registry.read_text("utf-8").replace("audit_logging: false", "audit_logging: true"), encoding="utf-8")
    assert set(statuses(site.provision()).values()) == {"success"}
    deployed = json.loads(manor("multi-tenant", "deploy", "--registry", registry, "--format", "json").stdout)
    assert (deployed["summary"], deployed["orphans"]) == ({"success": 2}, [])
    assert set(statuses(site.provision()).values()) == {"skipped"}


def test_the_health_of_all_recorded_tenants_is_seen_whoever_declared_them(site, make_tenant):
    site.sync([make_tenant(1, instances=("main", "test")), make_tenant(2), make_tenant(3)])
    site.provision()

    async def close(runtime):
        await suspend(runtime, "c2/main/t2", reason="unpaid")

    async def look():
        async with look_runtime(site.workplace()) as runtime:
            assert runtime is not None
            return await healthcheck_recorded(runtime, HealthRequest(parallel=50))

    site.run(close)

    with psycopg.connect(site.workplace().environment.deployments[0].url, dbname="c3_asia_main") as direct:
        direct.execute("ALTER TABLE users ADD COLUMN stray int")
    report = asyncio.run(look())
    assert statuses(report) == {
        "c1/main/t1": "success",
        "c1/test/t1": "success",
        "c2/main/t2": "skipped",
        "c3/main/t3": "error",
    }
    assert report.to_json()["health"] == {"total": 4, "healthy": 2, "unhealthy": 1}


def test_two_provisions_at_once_make_each_database_once(site, make_tenant):
    """The second one waits for the first."""
    site.sync([make_tenant(number) for number in range(1, 5)])

    async def both():
        from manor.control.operations.provision import ProvisionRequest, provision
        from manor.wiring import open_runtime, template_examiner

        async def one():
            async with open_runtime(site.workplace()) as runtime:
                request = ProvisionRequest(query="tenant_id LIKE 't%'", lock_wait_seconds=60)
                return await provision(runtime, site.places(), request, template_examiner())

        return await asyncio.gather(one(), one())

    first, second = asyncio.run(both())
    assert sorted([*statuses(first).values(), *statuses(second).values()]) == ["skipped"] * 4 + ["success"] * 4


def test_what_a_source_told_of_an_erased_tenant_goes_with_the_last_of_its_databases(site, make_tenant, manor):
    site.sync([make_tenant(1, instances=("main", "test")), make_tenant(2)])
    site.provision()
    site.sync([make_tenant(2)])

    async def told(runtime):
        gone = await runtime.catalog.search_directory("true", {}, state="gone")
        return [one.tenant for one in gone], len(await runtime.catalog.directory_history("t1"))

    manor("tenant", "delete", "--tenant-id", "c1/test/t1", "--confirm")
    assert site.run(told) == (["t1"], 2)
    done = manor("tenant", "delete", "--tenant-id", "c1/main/t1", "--confirm")
    assert done.returncode == 0, done.stderr
    assert site.run(told) == ([], 0)
    site.sync([make_tenant(1), make_tenant(2)])
    report = site.provision()
    assert statuses(report) == {"c1/main/t1": "skipped", "c2/main/t2": "skipped"}
    assert "never made again" in details(report)["c1/main/t1"]
