"""The pure parts of the fingerprint."""

from __future__ import annotations

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
