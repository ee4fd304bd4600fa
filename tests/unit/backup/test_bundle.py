"""What a bundle's files say, and which members no bundle has."""

from __future__ import annotations

import pytest

from manor.control.backup.bundle import compare_sums, is_safe, read_sums, release_file, write_sums
from manor.errors import Code, ManorError

SUMS = {"a.dump": "0" * 64, "release/1 b.sql": "f" * 64}


def test_checksums_are_read_as_they_were_written() -> None:
    assert read_sums(write_sums(SUMS)) == SUMS
    compare_sums(SUMS, dict(SUMS))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"a.dump": "0" * 64}, "release/1 b.sql is missing"),
        ({**SUMS, "a.dump": "1" * 64}, "a.dump was altered"),
        ({**SUMS, "more": "1" * 64}, "more was put in"),
    ],
)
def test_every_difference_is_named(found: dict[str, str], words: str) -> None:
    with pytest.raises(ManorError, match=words) as caught:
        compare_sums(SUMS, found)
    assert caught.value.code is Code.CORRUPT


def test_a_line_that_is_no_checksum_is_refused() -> None:
    with pytest.raises(ManorError, match="a line that is none"):
        read_sums("0123  a\n")


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../a", "a/../b", "a//b", "a\\b", "./a"])
def test_no_member_leads_out(name: str) -> None:
    assert not is_safe(name)
    assert is_safe("objects/0/a b.txt")


def test_a_migration_is_written_in_the_format_that_it_came_in() -> None:
    body = {"name": "add plan", "up": {"text": " SELECT 1;\n", "transaction": False}, "down": {"text": "SELECT 2;"}}
    assert release_file("2.1", body) == (
        "release/2.1_add_plan.sql",
        "-- migrate:up transaction:false\nSELECT 1;\n\n-- migrate:down\nSELECT 2;\n",
    )
