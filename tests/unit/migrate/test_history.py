"""What a database needs is decided from the chain and its history alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.migrate.history import Chain, pending
from manor.control.migrate.model import Applied, Migration, Section
from manor.control.migrate.status import status
from manor.control.migrate.undo import by_checksum, undo
from manor.errors import Place

PLACE = Place("m.sql", 1, 1)


def migration(version: str, text: str = "", *, down: bool = True, squashes: tuple[str, ...] = ()) -> Migration:
    up = Section(text=text or f"SELECT {version}", place=PLACE)
    back = Section(text=f"SELECT -{version}", place=PLACE) if down else None
    return Migration(version=version, name="x", up=up, down=back, place=PLACE, squashes=squashes)


def chain(words: str) -> Chain:
    """``1 2 9(5,6)``: versions, and what they squash."""
    found = []
    for word in words.split():
        version, _, squashed = word.rstrip(")").partition("(")
        found.append(migration(version, squashes=tuple(squashed.split(",")) if squashed else ()))
    return Chain.of(found)


def rows(words: str) -> tuple[Applied, ...]:
    """``1 2! 3?``: applied as the file says, edited since, without a checksum."""
    checksums = {"!": "0" * 64, "?": ""}
    return tuple(
        Applied(version=word.rstrip("!?"), checksum=checksums.get(word[-1], migration(word.rstrip("!?")).checksum))
        for word in words.split()
    )


CASES = {
    "nothing to do": ("1 2 3", "1 2 3", {}, "", ""),
    "no migrations, no rows": ("", "", {}, "", ""),
    "a new database": ("1 2 3", "", {}, "1 2 3", ""),
    "behind": ("1 2 3", "1", {}, "2 3", ""),
    "numbers are compared, not letters": ("2.9 2.10", "2.9", {}, "2.10", ""),
    "rows may spell a version otherwise": ("1 2", "2?", {"allow_out_of_order": True}, "1", ""),
    "only as far as asked": ("1 2 3", "1", {"to": "2"}, "2", ""),
    "already where asked": ("1 2 3", "1 2", {"to": "02"}, "", ""),
    "asked for an older one": ("1 2 3", "1 2 3", {"to": "2"}, "", "to_older:2"),
    "asked for one that is not there": ("1 2 3", "1", {"to": "7"}, "", "to_unknown:7"),
    "edited": ("1 2", "1! 2", {}, "", "edited:1"),
    "every edited one is named": ("1 2 3", "1! 2!", {}, "3", "edited:1 edited:2"),
    "rows of other tools are taken as they are": ("1 2 3", "1? 2?", {}, "3", ""),
    "older than what was applied": ("1 2 3", "1 3", {}, "2", "out_of_order:2"),
    "older, and allowed": ("1 2 3 4", "1 3", {"allow_out_of_order": True}, "2 4", ""),
    "a file is gone": ("1 3", "1 2", {}, "3", "gap:2"),
    "all files are gone": ("", "1 2", {}, "", "unknown:1 unknown:2"),
    "the database is ahead": ("1 2", "1 2 3", {}, "", "unknown:3"),
    "a squash on a new database": ("3(1,2) 4", "", {}, "3 4", ""),
    "a squash where all was applied is recorded": ("3(1,2) 4", "1 2", {}, "4", ""),
    "a squash that ran": ("3(1,2) 4", "3? 4", {}, "", ""),
    "a squash that was recorded": ("3(1,2) 4", "1 2 3? 4", {}, "", ""),
    "a squash of which a part was applied": ("3(1,2) 4", "1", {}, "4", "squash_partial:3"),
    "a squash, and a file that is gone besides": ("3(1,2) 4", "1 1.5 2", {}, "4", "gap:1.5"),
    "a squash of squashes leaves older rows alone": ("9(3,4)", "1 2 3 4", {}, "", ""),
    "a squash in the middle does not": ("1 9(3,4)", "1 2 3 4", {}, "", "gap:2"),
    "asked for a squashed one": ("3(1,2) 4", "", {"to": "2"}, "", "to_unknown:2"),
    "a squash newer than what is asked for": ("1 4(2,3)", "1 2 3", {"to": "1"}, "", ""),
}


@pytest.mark.parametrize(("files", "applied", "options", "expected", "problems"), CASES.values(), ids=CASES)
def test_what_a_database_needs(files: str, applied: str, options: dict[str, object], expected: str, problems: str) -> None:
    found = pending(chain(files), rows(applied), **options)  # type: ignore[arg-type]
    assert " ".join(f"{problem.code}:{problem.version}" for problem in found.problems) == problems
    if not problems.startswith("to_older"):
        assert " ".join(m.version for m in found.migrations) == expected
    assert all(problem.message and problem.hint for problem in found.problems)


def test_squashes_that_count_as_applied_are_told_apart_from_those_to_run() -> None:
    found = pending(chain("3(1,2) 6(4,5) 7"), rows("1 2"))
    assert [m.version for m in found.recorded] == ["3"]
    assert [m.version for m in found.migrations] == ["6", "7"]


def test_rows_without_a_checksum_are_offered_for_adoption() -> None:
    assert [m.version for m in pending(chain("1 2 3"), rows("1? 2")).adopted] == ["1"]


def test_a_squashed_version_that_is_asked_for_is_explained() -> None:
    (problem,) = pending(chain("3(1,2)"), (), to="2").problems
    assert problem.hint == "it was squashed into 3"


@given(st.sets(st.integers(1, 30)), st.integers(0, 30), st.data())
def test_a_database_that_follows_the_chain_needs_exactly_the_rest(versions: set[int], head: int, data: st.DataObject) -> None:
    files = " ".join(str(v) for v in data.draw(st.permutations(sorted(versions))))
    applied = " ".join(str(v) for v in versions if v <= head)
    found = pending(chain(files), rows(applied))
    assert found.problems == ()
    assert [int(m.version) for m in found.migrations] == sorted(v for v in versions if v > head)


@given(st.sets(st.integers(1, 9)), st.sets(st.integers(1, 9)))
def test_running_what_is_pending_leaves_nothing_pending(files: set[int], applied: set[int]) -> None:
    one = chain(" ".join(map(str, files)))
    before = rows(" ".join(map(str, applied)))
    found = pending(one, before, allow_out_of_order=True)
    after = pending(one, (*before, *(Applied(version=m.version, checksum=m.checksum) for m in found.migrations)))
    assert after.migrations == ()
    assert {p.version for p in after.problems} == {str(v) for v in applied - files}


def by(operation: str, *versions: str) -> tuple[Applied, ...]:
    return tuple(Applied(version=v, checksum=migration(v).checksum, operation=operation) for v in versions)


def test_an_operation_is_undone_newest_first_and_nothing_else_is() -> None:
    known = by_checksum(migration(v) for v in ("1", "2", "10"))
    found = undo(known, (*by("a", "1"), *by("b", "2", "10")), "b")
    assert ([m.version for m in found.migrations], found.problems) == (["10", "2"], ())
    assert undo(known, by("a", "1"), "b").migrations == ()


def test_undo_names_every_reason_why_it_cannot() -> None:
    known = by_checksum([migration("1"), migration("2", down=False)])
    found = undo(known, (*by("a", "1", "2", "3"), *by("b", "4")), "a")
    assert [(str(p.code), p.version) for p in found.problems] == [("not_on_top", "4"), ("not_kept", "3"), ("no_down", "2")]


def test_undo_uses_the_text_that_was_applied_and_its_newest_down_section() -> None:
    edited = migration("1", "SELECT 'other'")
    mended = migration("1")
    found = undo(by_checksum([edited, migration("1", down=False), mended]), by("a", "1"), "a")
    assert found.migrations[0] is mended


def test_undoing_a_squash_that_was_only_recorded_runs_nothing() -> None:
    squash = migration("3", squashes=("1", "2"))
    recorded = Applied(version="3", checksum=squash.checksum, operation="b")
    found = undo(by_checksum([squash]), (*by("a", "1", "2"), recorded), "b")
    assert (found.migrations, [m.version for m in found.forgotten]) == ((), ["3"])
    ran = undo(by_checksum([squash]), (recorded,), "b")
    assert ([m.version for m in ran.migrations], ran.forgotten) == (["3"], ())


def test_status_has_one_row_for_everything_known() -> None:
    table = status(chain("4(1,2) 5 6 7"), rows("1 2 4.5 5! 7"))
    assert [(line.version, str(line.state)) for line in table] == [
        ("1", "squashed"),
        ("2", "squashed"),
        ("4", "covered"),
        ("4.5", "no_file"),
        ("5", "edited"),
        ("6", "out_of_order"),
        ("7", "applied"),
    ]
    assert status(Chain.of([]), ()) == ()


def test_status_of_a_database_that_is_behind() -> None:
    assert [str(line.state) for line in status(chain("1 2"), rows("1"))] == ["applied", "pending"]
    assert [line.has_down for line in status(Chain.of([migration("1", down=False)]), ())] == [False]
