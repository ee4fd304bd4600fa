"""What a lost catalog held, decided from markers, histories and registries alone."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from manor.control.engines.driver import FoundDatabase, IsolatedColumn, Marker
from manor.control.engines.releases import HistoryRow, Prepared
from manor.control.migrate.model import release_digest
from manor.control.rollout.rebuild_plan import Declaration, FoundTenant, choose_catalog, plan_rebuild, role_of, tenants_of
from manor.control.steps import Failure, Target
from manor.errors import Code, InputError, RefusedError
from manor.tenancy import TenantId

AT = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
CATALOG = "0123abcd"
T1 = TenantId("acme", "std", "001")


def marker(kind: str = "tenant", *, catalog: str = CATALOG, tenant: str = str(T1), digest: str = "base", **more: Any) -> Marker:
    return Marker(catalog=catalog, kind=kind, tenant=tenant, template="t", digest=digest, **more)


def look(**databases: Marker | None) -> dict[str, dict[str, FoundDatabase]]:
    return {"main": {name: FoundDatabase(name=name, owner="a", marker=mark) for name, mark in databases.items()}}


def found(tenant: TenantId = T1, database: str = "acme_001", **more: Any) -> FoundTenant:
    values: dict[str, Any] = {"marker": marker(tenant=str(tenant)), "roles": (database,), "fingerprint": "f"}
    return FoundTenant(tenant=tenant, server="main", database=database, **(values | more))


def declaration(tenant: TenantId = T1, **more: Any) -> Declaration:
    target = Target(
        tenant=tenant,
        database="acme_001",
        group="std",
        kind="tenant_group",
        template="t",
        server="main",
        variables={"NAME": "x"},
        title="Acme",
    )
    return Declaration(target=dataclasses.replace(target, **more), source="r.yaml", base="base")


def row(version: str, *, at: dt.datetime = AT) -> HistoryRow:
    return HistoryRow(version=version, checksum=f"c{version}", name=f"n{version}", applied_at=at)


def planned(*tenants: FoundTenant, declared: dict[str, Declaration] | None = None, **looks: Marker | None) -> Any:
    known = {str(T1): declaration()} if declared is None else declared
    return plan_rebuild(CATALOG, look(**looks), tenants, known, (), {})


def test_one_catalog_is_chosen_and_several_are_asked_about():
    one = look(a=marker(), b=None, c=marker("building", catalog="ffffffff"))
    assert choose_catalog(one, None, "") == CATALOG
    two = look(a=marker(), b=marker(catalog="ffffffff"))
    with pytest.raises(InputError, match=r"0123abcd \(1 database\), ffffffff \(1 database\)"):
        choose_catalog(two, None, "")
    assert choose_catalog(two, "ffffffff", "") == "ffffffff"
    assert choose_catalog(two, None, CATALOG) == CATALOG
    with pytest.raises(RefusedError, match="half rebuilt"):
        choose_catalog(two, "ffffffff", CATALOG)
    with pytest.raises(InputError, match="no database on these servers"):
        choose_catalog(look(a=None), None, "")
    with pytest.raises(InputError, match="no database was made by catalog 00000000"):
        choose_catalog(one, "00000000", "")


def test_only_this_catalogs_tenants_are_taken():
    looks = look(a=marker(), b=marker(catalog="ffffffff"), c=marker("kept"), d=marker("golden"), e=marker(tenant="no id"))
    assert [(t.tenant, t.database) for t in tenants_of(CATALOG, looks)] == [(T1, "a")]


def test_a_declared_tenant_is_what_the_registry_says_at_the_version_that_it_has():
    digest = release_digest("base", [("1", "c1"), ("2", "c2")])
    isolated = dataclasses.replace(declaration(), isolation=(IsolatedColumn(table="u", column="t", value="001"),))
    plan = planned(found(marker=marker(digest=digest), history=(row("1"), row("2")), token=7), declared={str(T1): isolated})
    (record,) = plan.records
    assert (record.version, record.golden, record.source, record.name) == ("2", digest, "r.yaml", "Acme")
    assert record.config == {"isolation": [["u", "t", "001"]]}
    assert record.variables == {"NAME": "x"}
    (lineage,) = plan.lineages
    assert (lineage.base, lineage.history) == ("base", (("1", "c1", "n1"), ("2", "c2", "n2")))
    assert plan.heads == (("r.yaml", "t", "2"),)
    assert plan.token == 7


def test_migrations_that_ran_out_of_order_are_put_in_the_order_that_the_digest_proves():
    digest = release_digest("base", [("2", "c2"), ("1", "c1")])
    rows = (row("1", at=AT + dt.timedelta(hours=1)), row("2"))
    (lineage,) = planned(found(marker=marker(digest=digest), history=rows)).lineages
    assert lineage.history == (("2", "c2", "n2"), ("1", "c1", "n1"))


def test_a_template_that_has_changed_since_is_named():
    plan = planned(found(marker=marker(digest="another"), history=(row("1"),)))
    assert plan.lineages[0].base == ""
    assert any("files have changed since" in one for one in plan.unknown)


def test_the_role_is_the_one_that_may_enter():
    assert role_of(found(roles=("own",))) == "own"
    assert role_of(found(roles=())) == "acme_001"
    assert role_of(found(roles=("x", "y"))) == "acme_001"
    assert any("x, y may enter" in one for one in planned(found(roles=("x", "y"))).unknown)


def test_of_two_databases_that_claim_a_tenant_none_is_recorded():
    plan = planned(found(), found(database="copy"))
    assert plan.records == []
    assert {f.failure.code for f in plan.findings} == {Code.CONFLICT}
    assert "acme_001 on main and copy on main" in plan.findings[0].failure.message


def test_what_cannot_be_looked_into_is_its_own_failure():
    failure = Failure(code=Code.TIMEOUT, message="locked")
    other = TenantId("acme", "std", "002")
    plan = planned(found(failure=failure), found(other, "acme_002"))
    assert [f.failure for f in plan.findings] == [failure, None]
    assert [r.database for r in plan.records] == ["acme_002"]


def test_who_is_in_no_registry_is_recorded_and_named():
    plan = planned(found(), declared={})
    (record,) = plan.records
    assert (record.source, record.group, record.template) == ("", "std", "t")
    assert any("no registry here declares it" in one for one in plan.unknown)
    assert plan.heads == ()


def test_kept_databases_warm_copies_and_prepared_transactions_are_told():
    prepared = {"main": [Prepared(gid="manor:0123abcd:op:x", database="acme_001", since=AT)]}
    looks = look(k=marker("kept"), w=marker("warm", digest="d"), x=marker("warm", catalog="ffffffff"))
    plan = plan_rebuild(CATALOG, looks, [found(marker=marker(closed="op1:2"))], {str(T1): declaration()}, (), prepared)
    assert [k.database for k in plan.kept] == ["k"]
    assert [(w.database, w.digest) for w in plan.pool] == [("w", "d")]
    told = "\n".join(plan.unknown)
    assert "manor:0123abcd:op:x" in told
    assert "operation op1" in told
    assert "until when k" in told
