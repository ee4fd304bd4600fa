"""The audit chain without a database: any change to any run of entries is found."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manor.control.catalog.chain import (
    MAX_PROBLEMS,
    REBUILT,
    RESTORED,
    Anchor,
    Break,
    ChainCheck,
    Head,
    SealedEntry,
    genesis,
    safe_json,
    seal,
)
from manor.control.catalog.records import AuditEvent

NOW = dt.datetime(2026, 11, 20, 12, 0, 0, 5, tzinfo=dt.UTC)
KEY = b"k" * 32
CATALOG = "0123abcd"


def sealed(count: int) -> list[SealedEntry]:
    events = [AuditEvent(actor="a", action="b", subject=f"s{number}") for number in range(count)]
    head = Head(sequence=0, mac="", at=NOW)
    return seal(events, operation="op", head=head, catalog=CATALOG, key_id="k1", key=KEY)


def problems(entries: list[SealedEntry], head: Head | None, anchors: list[Anchor] | None = None) -> tuple[str, ...]:
    check = ChainCheck(start=(0, genesis(CATALOG)), key_of={"k1": KEY}.get, anchors=anchors or [])
    for entry in entries:
        check.feed(entry)
    check.finish(head)
    return check.problems


def head_of(entries: list[SealedEntry]) -> Head:
    return Head(sequence=entries[-1].sequence, mac=entries[-1].mac, at=NOW)


def test_batches_continue_the_chain_as_if_they_were_one():
    whole = sealed(5)
    events = [AuditEvent(actor="a", action="b", subject=f"s{number}") for number in range(2, 5)]
    rest = seal(events, operation="op", head=head_of(whole[:2]), catalog=CATALOG, key_id="k1", key=KEY)
    assert [entry.mac for entry in rest] == [entry.mac for entry in whole[2:]]
    assert problems(whole[:2] + rest, head_of(rest)) == ()


def test_the_time_zone_in_which_an_entry_is_read_does_not_matter():
    tokyo = dt.timezone(dt.timedelta(hours=9))
    entries = sealed(2)
    moved = [dataclasses.replace(entry, at=entry.at.astimezone(tokyo)) for entry in entries]
    assert problems(moved, head_of(moved)) == ()


@settings(deadline=None)
@given(st.data())
def test_any_single_change_is_found(data):
    entries = sealed(6)
    head = head_of(entries)
    index = data.draw(st.integers(0, 5))
    kind = data.draw(
        st.sampled_from(
            ["drop", "swap", "duplicate", "actor", "action", "subject", "operation", "details", "at", "key_id", "mac"]
        )
    )
    entry = entries[index]
    if kind == "drop":
        del entries[index]
    elif kind == "swap":
        other = data.draw(st.integers(0, 5).filter(lambda number: number != index))
        entries[index] = dataclasses.replace(entries[other], sequence=entry.sequence)
    elif kind == "duplicate":
        entries.insert(index, entry)
    elif kind == "at":
        entries[index] = dataclasses.replace(entry, at=entry.at + dt.timedelta(microseconds=1))
    else:
        changed = data.draw(st.text("ab \n,\"'é株").filter(lambda text: text != getattr(entry, kind)))
        entries[index] = dataclasses.replace(entry, **{kind: changed})
    assert problems(entries, head)


def test_text_cannot_move_from_one_field_to_the_next():
    (entry,) = sealed(1)
    moved = dataclasses.replace(entry, actor="a,b", action="")
    assert moved.expected_mac(KEY, genesis(CATALOG)) != entry.mac


def test_memory_stays_bounded_however_many_problems_there_are():
    entries = [dataclasses.replace(entry, actor="x") for entry in sealed(MAX_PROBLEMS + 50)]
    found = problems(entries, head_of(entries))
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1] == "and 50 more problems"


def test_anchors_vouch_for_their_entries():
    entries = sealed(4)
    anchors = [Anchor(catalog=CATALOG, sequence=n, mac=entries[n - 1].mac, at=NOW) for n in (1, 3, 3)]
    assert problems(entries, head_of(entries), anchors) == ()
    wrong = dataclasses.replace(anchors[1], mac="0" * 64)
    assert problems(entries, head_of(entries), [anchors[0], wrong]) == (
        "entry 3 is not the one that was anchored at 2026-11-20 12:00:00 UTC",
    )
    assert "cut" in problems(entries[:2], head_of(entries[:2]), anchors)[0]


def test_a_log_without_head_is_a_problem():
    assert problems([], None) == ("the head of the log is missing",)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [1.5, None]}, '{"a":[1.5,null],"b":1}'),
        ({"url": "see postgresql://u:p%40w:x@h/d"}, '{"url":"see postgresql://u:***@h/d"}'),
        ({"plain": "http://host:80/a@b"}, '{"plain":"http://host:80/a@b"}'),
        ({"new_password": "x", "list": [{"api_token": "y"}]}, '{"list":[{"api_token":"***"}],"new_password":"***"}'),
        ({"max_tokens": 5, "password": ""}, '{"max_tokens":5,"password":""}'),
        ({"t": "a\0b\ud800"}, '{"t":"a\ufffdb?"}'),
        ({"at": NOW}, '{"at":"2026-11-20 12:00:00.000005+00:00"}'),
    ],
)
def test_details_are_canonical_and_hold_no_secrets(value, text):
    assert safe_json(value) == text


# Logs of catalogs that came back


def came_back(kept: list[SealedEntry], anchor: Anchor | None, action: str, more: int = 2) -> list[SealedEntry]:
    """The log of a catalog that still has ``kept``, gone on with from ``anchor``."""
    head = head_of(kept) if kept else Head(sequence=0, mac="", at=NOW)
    lost = Break(kept_through=head.sequence, sequence=head.sequence, mac=head.mac)
    if anchor is not None and anchor.sequence > head.sequence:
        lost = dataclasses.replace(lost, sequence=anchor.sequence, mac=anchor.mac)
        head = Head(sequence=anchor.sequence, mac=anchor.mac, at=NOW)
    events = [AuditEvent(actor="ann", action=action, subject="catalog", details=lost.to_json())]
    events += [AuditEvent(actor="ann", action="c", subject="s")] * more
    return [*kept, *seal(events, operation="op2", head=head, catalog=CATALOG, key_id="k1", key=KEY)]


def anchor_at(entry: SealedEntry) -> Anchor:
    return Anchor(catalog=CATALOG, sequence=entry.sequence, mac=entry.mac, at=NOW)


def checked(entries: list[SealedEntry], anchors: list[Anchor]) -> ChainCheck:
    check = ChainCheck(start=(0, genesis(CATALOG)), key_of={"k1": KEY}.get, anchors=anchors)
    for entry in entries:
        check.feed(entry)
    check.finish(head_of(entries))
    return check


@pytest.mark.parametrize(
    ("kept", "anchored", "action", "told"),
    [
        (0, 5, REBUILT, "entries 1 to 5 are lost"),
        (0, 0, REBUILT, "all entries before are lost"),
        (3, 5, RESTORED, "entries 4 to 5 are lost"),
        (5, 5, RESTORED, "entries after 5 may be lost"),
        (5, 3, RESTORED, "entries after 5 may be lost"),
    ],
)
def test_a_declared_loss_is_told_and_is_no_problem(kept, anchored, action, told):
    old = sealed(5)
    anchors = [anchor_at(entry) for entry in old[:anchored]]
    entries = came_back(old[:kept], anchors[-1] if anchors else None, action)
    check = checked(entries, [*anchors, anchor_at(entries[-1])])
    assert check.problems == ()
    (words,) = check.breaks
    assert words.startswith(told)
    assert "by ann" in words


def test_a_loss_that_contradicts_its_anchor_is_a_problem():
    old = sealed(5)
    forged = dataclasses.replace(anchor_at(old[4]), mac="0" * 64)
    entries = came_back([], forged, REBUILT)
    assert any("entry 5 is not the one" in problem for problem in checked(entries, [anchor_at(old[4])]).problems)


@pytest.mark.parametrize("change", [{"kept_through": 4}, {"continues": 3}, {"mac": "0" * 64}])
def test_a_declared_loss_is_sealed_like_any_entry(change):
    old = sealed(5)
    first, *rest = came_back([], anchor_at(old[4]), REBUILT)
    edited = dataclasses.replace(first, details=safe_json({**json.loads(first.details), **change}))
    assert checked([edited, *rest], [anchor_at(old[4])]).problems


def test_entries_missing_beyond_a_declared_loss_are_a_problem():
    old = sealed(5)
    entries = came_back(old[:3], anchor_at(old[4]), RESTORED)
    assert any("missing" in problem for problem in checked([*entries[:2], *entries[3:]], []).problems)
