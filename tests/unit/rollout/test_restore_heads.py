"""Where a loaded database stands, and what is typed to name a backup: decided without any server."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from manor.control.catalog.records import DatabaseRecord, Lineage
from manor.control.engines.dumps import Photograph
from manor.control.migrate.model import release_digest
from manor.control.rollout.backups.backup_file import split_location
from manor.control.rollout.backups.head import (
    Heads,
    is_same_history,
    kept_head,
    refuse_other_head,
    way_to_head,
)
from manor.errors import InputError, RefusedError
from manor.tenancy import TenantId

ROWS = (("1", "a" * 64, "one"), ("2", "b" * 64, "two"), ("3", "c" * 64, "three"))
BASE = "base"


def digest(number: int) -> str:
    return release_digest(BASE, [row[:2] for row in ROWS[:number]])


LINEAGES = {digest(n): Lineage(digest=digest(n), base=BASE, history=ROWS[:n]) for n in range(1, 4)}


def record(number: int) -> DatabaseRecord:
    """A tenant that has seen so many migrations."""
    return DatabaseRecord(
        tenant=TenantId("c", "g", "1"),
        database="d",
        server="s",
        group="g",
        template="t",
        state="ready",
        role="d",
        golden=digest(number),
        version=str(number) if number else "",
        fingerprint=f"f{number}",
    )


def photograph(history: Any) -> Photograph:
    """A database that has seen those."""
    return Photograph(
        fingerprint="f",
        history=tuple(history),
        rows={},
        isolated=True,
        bytes=0,
        server_version="16.1",
        engine="postgres",
        taken_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    )


@pytest.mark.parametrize("heads", [Heads.MIGRATE, Heads.KEEP])
def test_a_word_allows_another_head(heads: Heads) -> None:
    """And where the head is the same none is needed."""
    refuse_other_head(record(3), digest(1), "1", heads)
    refuse_other_head(record(3), digest(3), "3", Heads.REFUSE)


@pytest.mark.parametrize(("golden", "version", "told"), [(1, "1", "is at 1, c/g/1 at 3"), (2, "3", "of an earlier schema")])
def test_another_head_is_refused_with_both(golden: int, version: str, told: str) -> None:
    """Or with what differs where the versions are the same."""
    with pytest.raises(RefusedError, match=told):
        refuse_other_head(record(3), digest(golden), version, Heads.REFUSE)


@pytest.mark.parametrize("then", [0, 1, 2, 3])
def test_the_way_to_the_head_is_what_the_tenant_has_had_since(then: int) -> None:
    """In its order, to its golden."""
    cohort = way_to_head(record(3), digest(then), photograph(reversed(ROWS[:then])), LINEAGES)
    assert [step.version for step in cohort.steps] == ["1", "2", "3"][then:]
    assert cohort.golden_to == digest(3)
    assert cohort.fingerprint == "f3"


@pytest.mark.parametrize(
    ("now", "golden", "history"),
    [
        (1, digest(3), ROWS),
        (3, digest(2), (ROWS[0], ROWS[2])),
        (3, "another template's", ()),
        (3, digest(1), (("1", "d" * 64, "edited"),)),
    ],
    ids=["newer", "out of order", "other template", "edited"],
)
def test_where_no_migrations_lead_there_it_is_refused(now: int, golden: str, history: Any) -> None:
    """Guessing would make a schema that no golden has."""
    with pytest.raises(RefusedError, match="no migrations lead from"):
        way_to_head(record(now), golden, photograph(history), LINEAGES)


def test_a_kept_head_is_recorded_as_it_is() -> None:
    """Version, golden and the golden's fingerprint."""
    found = kept_head(record(3), digest(1), photograph(ROWS[:1]), LINEAGES, "f1")
    assert (found.version, found.golden, found.fingerprint) == ("1", digest(1), "f1")


@pytest.mark.parametrize(("golden", "history"), [("", ROWS[:1]), ("unknown", ROWS[:1]), (digest(2), ROWS[:1])])
def test_a_head_that_the_catalog_does_not_know_is_not_kept(golden: str, history: Any) -> None:
    """No release could go on from it."""
    with pytest.raises(RefusedError, match="does not know the release"):
        kept_head(record(3), golden, photograph(history), LINEAGES, "f")


def test_rows_of_other_tools_have_no_checksum() -> None:
    """They count by their version."""
    assert is_same_history((("1", "", "one"),), ROWS[:1])
    assert not is_same_history((("1", "", "one"),), ROWS[:2])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a.dump", (".", "a.dump")),
        ("/a.dump", ("/", "a.dump")),
        ("x/y/a.sql", ("x/y", "a.sql")),
        ("s3://bucket/p/a.dump", ("s3://bucket/p", "a.dump")),
        ("s3://bucket/p/a.dump?endpoint=http://x/", ("s3://bucket/p?endpoint=http://x/", "a.dump")),
        ("odd?name/a.dump", ("odd?name", "a.dump")),
    ],
)
def test_a_place_is_a_folder_and_a_name(text: str, place: tuple[str, str]) -> None:
    """Options of a URL stay with what is opened."""
    assert split_location(text) == place


@pytest.mark.parametrize("text", ["", "x/", "s3://bucket", "s3://bucket/", "s3://bucket/?endpoint=y"])
def test_a_place_without_a_file_is_refused(text: str) -> None:
    """There is nothing to be restored."""
    with pytest.raises(InputError, match="names no file"):
        split_location(text)
