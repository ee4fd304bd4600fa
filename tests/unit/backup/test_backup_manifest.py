"""Manifests: what is written is read, and what was altered is refused."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.backup.manifest import FORMAT, DumpFile, Manifest, Photograph, canonical
from manor.control.engines.driver import IsolatedColumn
from manor.control.engines.dumps import DumpForm, differences
from manor.errors import Code, ManorError, UnsupportedError

AT = dt.datetime(2026, 11, 20, 14, 5, tzinfo=dt.UTC)
PHOTOGRAPH = Photograph(
    fingerprint="f" * 64,
    history=(("001", "c1", "begin"), ("002", "c2", "größer")),
    rows={"public.items": 3, "public.orders": 0},
    isolated=True,
    bytes=7_000_000,
    server_version="18.4",
    engine="postgres",
    taken_at=AT,
)
MANIFEST = Manifest(
    id="20261120T140500-0123456789abcdef",
    kind="logical",
    tenant="acme/tenants/001",
    group="tenants",
    template="small",
    database="acme_t_001",
    server="main",
    form=DumpForm.CUSTOM,
    photograph=PHOTOGRAPH,
    dump=DumpFile(key="20261120T140500-0123456789abcdef.dump", bytes=10, sha256="a" * 64, plain_sha256="a" * 64),
    role="acme_t_001",
    name="Bäckerei 株式会社",
    golden="g" * 64,
    isolation=(IsolatedColumn(table="orders", column="tenant", value="O'Hara"),),
    config={"tier": "premium", "limits": {"users": 5}},
    encrypted="age1xyz",
    made_by="somebody@somewhere:1",
    made_at=AT,
    operation="20261120T140500-abcd0123",
    manor_version="0.1",
    installation="01ab23cd",
)


def test_a_manifest_is_read_as_it_was_written() -> None:
    """Every field of it, times with their zone, other scripts as they are."""
    assert Manifest.from_json(MANIFEST.to_json()) == MANIFEST
    assert Manifest.from_json(MANIFEST.to_json()).photograph.bytes == PHOTOGRAPH.bytes
    assert "株式会社".encode() in MANIFEST.to_json()


def test_a_manifest_that_does_not_say_whose_it_is_is_read_and_keeps_its_digest() -> None:
    """Those of earlier releases: they count as everybody's own."""
    old = replace(MANIFEST, installation="")
    assert b"installation" not in old.to_json()
    assert Manifest.from_json(old.to_json()) == old
    assert json.loads(old.to_json())["digest"] == old.digest
    assert (old.is_of("01ab23cd"), MANIFEST.is_of("01ab23cd"), MANIFEST.is_of("another")) == (True, True, False)


def test_anybody_can_check_the_digest_with_a_few_lines() -> None:
    """SHA-256 over the rest as JSON with sorted keys and without spaces."""
    import hashlib

    document = json.loads(MANIFEST.to_json())
    stated = document.pop("digest")
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(text.encode()).hexdigest() == stated == MANIFEST.digest


@given(st.data())
def test_no_flipped_bit_of_a_manifest_goes_unnoticed(data: st.DataObject) -> None:
    """Wherever it is: it is refused, or it says the very same (white space between values)."""
    content = bytearray(MANIFEST.to_json())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    assert read(bytes(content)) in (MANIFEST, Code.CORRUPT, Code.UNSUPPORTED)


@pytest.mark.parametrize(
    "altered",
    [
        MANIFEST.to_json().replace("株".encode(), b"\xed\xbc\x8f"),
        MANIFEST.to_json().replace("株".encode(), rb"\udf0f"),
        b"[" * 100_000,
    ],
    ids=["bytes of a lone surrogate", "an escaped one", "deeper than any stack"],
)
def test_what_no_text_can_say_is_corrupt(altered: bytes) -> None:
    """Python's reader takes such things from bytes, or gives up in its own way."""
    assert read(altered) is Code.CORRUPT


def read(content: bytes) -> Manifest | Code:
    """The manifest, or why it is refused."""
    try:
        return Manifest.from_json(content)
    except ManorError as error:
        return error.code


@given(st.integers(0, len(MANIFEST.to_json()) - 3))
def test_a_manifest_that_was_cut_is_refused(length: int) -> None:
    """At whatever byte."""
    with pytest.raises(ManorError) as error:
        Manifest.from_json(MANIFEST.to_json()[:length], named="the manifest of X")
    assert error.value.code is Code.CORRUPT
    assert "the manifest of X" in error.value.message


def signed(document: dict[str, Any]) -> bytes:
    """A document with the digest that belongs to it."""
    import hashlib

    document.pop("digest", None)
    return json.dumps({**document, "digest": hashlib.sha256(canonical(document)).hexdigest()}).encode()


@pytest.mark.parametrize("name", [f.name for f in fields(Manifest) if f.name != "installation"])
def test_a_manifest_without_one_of_its_fields_is_refused(name: str) -> None:
    """Even one whose digest is right: an incomplete manifest is none."""
    document = json.loads(MANIFEST.to_json())
    del document[name]
    with pytest.raises(ManorError, match="incomplete") as error:
        Manifest.from_json(signed(document))
    assert error.value.code is Code.CORRUPT


def test_a_newer_format_is_refused_as_such() -> None:
    """It is no damage: a newer Manor wrote it."""
    document = json.loads(MANIFEST.to_json()) | {"format": FORMAT + 1}
    with pytest.raises(UnsupportedError, match="format 2"):
        Manifest.from_json(signed(document))


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"{}", b'{"format": "1"}', b"\xff\xfe"])
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    """Whatever it is."""
    with pytest.raises(ManorError) as error:
        Manifest.from_json(content)
    assert error.value.code is Code.CORRUPT


def test_a_time_without_its_zone_is_refused() -> None:
    """Nobody could tell which moment it is."""
    document = json.loads(MANIFEST.to_json()) | {"made_at": "2026-11-20T14:05:00"}
    with pytest.raises(ManorError, match="incomplete"):
        Manifest.from_json(signed(document))


def test_photographs_are_compared_by_what_the_database_held() -> None:
    """Not by its size on disk, the server's version or the time."""
    later = replace(PHOTOGRAPH, bytes=1, server_version="16.1", taken_at=AT + dt.timedelta(days=1))
    assert later == PHOTOGRAPH
    assert differences(PHOTOGRAPH, later) == ()


def test_every_difference_between_photographs_is_told_in_words() -> None:
    """Schema, history, isolation, and each table."""
    other = replace(
        PHOTOGRAPH,
        fingerprint="0" * 64,
        history=PHOTOGRAPH.history[:1],
        isolated=False,
        rows={"public.items": 1, "public.new": 2},
    )
    assert differences(PHOTOGRAPH, other) == (
        "its schema is another one",
        "its history ends with 001, not with 002",
        "the value of an isolated column is not this tenant's",
        "table public.items holds 1 row, not 3 rows",
        "table public.new holds 2 rows, not nothing: it is not there",
        "table public.orders holds nothing: it is not there, not 0 rows",
    )
