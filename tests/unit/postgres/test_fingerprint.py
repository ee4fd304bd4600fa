"""The pure parts of the fingerprint."""

from __future__ import annotations

from manor.control.engines.driver import IsolatedColumn
from manor.control.engines.postgres import fingerprint


def test_drift_is_explained_object_by_object() -> None:
    """Missing, extra and changed objects are each one short line; equal ones say nothing."""
    golden = [
        "column users.email\tposition=2\ttype=text",
        "column users.id\tposition=1\ttype=bigint\tnot null=yes",
        "index idx_a\tdefinition=CREATE INDEX idx_a ON public.users USING btree (id)",
        "table users\towner=admin",
    ]
    tenant = [
        "column users.id\tposition=1\ttype=integer\tdefault=a=b",
        "index idx_x\tdefinition=…",
        "index idx_a\tdefinition=CREATE INDEX idx_a ON public.users USING btree (id)",
        "table users\towner=admin",
    ]
    assert fingerprint.explain_drift(golden, tenant) == [
        "column users.email: missing",
        "column users.id: default is a=b, should be none",
        "column users.id: not null is none, should be yes",
        "column users.id: type is integer, should be bigint",
        "index idx_x: extra",
    ]
    assert fingerprint.explain_drift(golden, golden) == []


def test_long_facts_are_cut_in_the_middle() -> None:
    """A whole function body does not fill the screen."""
    [line] = fingerprint.explain_drift(["function f()\tdefinition=" + "a" * 500], ["function f()\tdefinition=" + "b" * 500])
    assert len(line) < 260


def test_parameters_stand_side_by_side() -> None:
    """Two arrays of equal length; the body is what PostgreSQL prints."""
    parameters = fingerprint.fingerprint_parameters([IsolatedColumn(table="t", column="c", value="v's")])
    assert parameters == {"functions": ["manor_tenant_t__c"], "bodies": ["RETURN 'v''s'::text"]}


def test_queries_are_free_of_marks() -> None:
    """Every mark is filled in, and only named parameters have a percent sign."""
    for query in (fingerprint.fingerprint_query(), fingerprint.describe_query()):
        assert not {":hidden:", ":current:", ":changed:", ":first:"} & set(query.split())
        assert query.count("%") == query.count("%(")
