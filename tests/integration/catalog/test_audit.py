"""The audit log in a real catalog: what is refused, and what ``verify`` finds when it was done all the same."""

from __future__ import annotations

import asyncio
import json

import psycopg
import pytest

from manor.control import audit
from manor.control.audit import AnchorFile, AuditEvent, AuditLog, anchor_head, verify
from manor.control.catalog.chain import Head, SealedEntry, genesis, seal
from manor.errors import CatalogError


def events(count: int, *, actor: str = "ann@desk") -> list[AuditEvent]:
    return [
        AuditEvent(actor=actor, action="tenant.create", subject=f"acme/standard/{number:03}", details={"number": number})
        for number in range(1, count + 1)
    ]


@pytest.fixture
def anchors(tmp_path) -> AnchorFile:
    return AnchorFile(tmp_path / ".manor" / "audit.anchor")


@pytest.fixture
async def ten(catalog, anchors):
    """A catalog with ten entries, the last one anchored."""
    await catalog.append_audit("op1", events(10))
    await anchor_head(catalog, anchors, operation_id="op1")
    return catalog


def disarm(direct) -> None:
    """What the table's owner can do, and no trigger can prevent."""
    for table in ("audit_log", "audit_head"):
        direct.execute(f"ALTER TABLE manor.{table} DISABLE TRIGGER ALL")


def rewrite(direct, entries: list[SealedEntry], head_at) -> None:
    """Replace the whole log and its head."""
    direct.execute("DELETE FROM manor.audit_log")
    for e in entries:
        values = (e.sequence, e.at, e.actor, e.action, e.subject, e.operation, e.details, e.key_id, e.mac)
        direct.execute("INSERT INTO manor.audit_log VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)", values)
    direct.execute(
        "UPDATE manor.audit_head SET sequence = %s, mac = %s, at = %s", (entries[-1].sequence, entries[-1].mac, head_at)
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE manor.audit_log SET actor = 'nobody' WHERE sequence = 3",
        "DELETE FROM manor.audit_log WHERE sequence = 3",
        "TRUNCATE manor.audit_log",
        "UPDATE manor.audit_head SET sequence = 3",
        "DELETE FROM manor.audit_head",
        "TRUNCATE manor.audit_head",
    ],
)
async def test_update_delete_and_truncate_are_refused_even_to_the_owner(ten, anchors, direct, statement):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        direct.execute(statement)
    assert (await verify(ten, anchors)).ok


async def test_an_untouched_log_verifies(ten, anchors):
    verdict = await verify(ten, anchors)
    assert (verdict.ok, verdict.entries, verdict.problems, verdict.anchored_through) == (True, 10, (), 10)


async def test_an_empty_log_verifies_before_and_after_its_first_anchor(catalog, anchors):
    assert (await verify(catalog, anchors)).ok
    await anchor_head(catalog, anchors)
    assert (await verify(catalog, anchors)).ok
    await catalog.append_audit("op1", events(1))
    assert (await verify(catalog, anchors)).ok


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE manor.audit_log SET actor = 'nobody' WHERE sequence = 3", "entry 3 was changed"),
        ("UPDATE manor.audit_log SET details = '{\"number\": 3}' WHERE sequence = 3", "entry 3 was changed"),
        ("UPDATE manor.audit_log SET at = at + interval '1 microsecond' WHERE sequence = 10", "entry 10 was changed"),
        ("UPDATE manor.audit_log SET mac = repeat('0', 64) WHERE sequence = 3", "entry 4 was changed"),
        ("DELETE FROM manor.audit_log WHERE sequence BETWEEN 4 AND 6", "entries 4 to 6 are missing"),
        ("DELETE FROM manor.audit_log WHERE sequence = 1", "entry 1 is missing"),
        ("DELETE FROM manor.audit_log WHERE sequence > 8", "the log was cut: its head is entry 10, it ends with entry 8"),
        ("DELETE FROM manor.audit_log", "the log was cut: its head is entry 10, it ends with entry 0"),
        ("DELETE FROM manor.audit_head", "the head of the log is missing"),
        ("UPDATE manor.audit_head SET sequence = 9", "the head of the log (entry 9) is not its last entry (10)"),
        ("UPDATE manor.catalog SET id = '00000000'", "entry 1 was changed"),
        (
            "INSERT INTO manor.audit_log SELECT 11, at, actor, action, subject, operation, details, key_id, mac"
            " FROM manor.audit_log WHERE sequence = 10",
            "entry 11 was changed",
        ),
    ],
)
async def test_a_change_made_with_triggers_disabled_is_found(ten, anchors, direct, open_catalog, statement, problem):
    disarm(direct)
    direct.execute(statement)
    verdict = await verify(await open_catalog(), anchors)
    assert not verdict.ok
    assert any(problem in found for found in verdict.problems), verdict.problems


async def test_a_tail_that_was_cut_together_with_the_head_is_found_by_the_anchor(ten, anchors, direct):
    disarm(direct)
    direct.execute("DELETE FROM manor.audit_log WHERE sequence > 8")
    direct.execute("UPDATE manor.audit_head SET sequence = 8, mac = (SELECT mac FROM manor.audit_log WHERE sequence = 8)")
    assert (await verify(ten, None)).ok
    verdict = await verify(ten, anchors)
    assert "the log was cut: entry 10 was anchored" in verdict.problems[0]


async def test_a_rewrite_of_the_whole_chain_without_the_key_is_found(ten, anchors, direct):
    disarm(direct)
    entries, head = await ten.audit_page(after=0, limit=100)
    forged = seal(
        events(10, actor="somebody else"),
        operation="op1",
        head=Head(sequence=0, mac="", at=head.at),
        catalog=ten.id,
        key_id=entries[0].key_id,
        key=b"not the key" * 3,
    )
    rewrite(direct, forged, head.at)
    problems = (await verify(ten, None)).problems
    assert problems[0].startswith("entry 1 was changed")
    unknown = [
        SealedEntry(*(e.sequence, e.at, e.actor, e.action, e.subject, e.operation, e.details, "ffffffff", e.mac))
        for e in forged
    ]
    rewrite(direct, unknown, head.at)
    assert "signed with key 'ffffffff', which is not in the key ring" in (await verify(ten, None)).problems[0]


async def test_a_rewrite_by_somebody_with_the_key_is_found_up_to_the_last_anchor(ten, anchors, direct, box):
    await ten.append_audit("op2", events(2))
    disarm(direct)
    _, head = await ten.audit_page(after=0, limit=100)
    key = {"catalog": ten.id, "key_id": box.key_id, "key": box.audit_key(box.key_id)}
    forged = seal(events(12, actor="eve"), operation="op1", head=Head(sequence=0, mac="", at=head.at), **key)
    rewrite(direct, forged, head.at)
    assert (await verify(ten, None)).ok
    assert "entry 10 is not the one that was anchored" in (await verify(ten, anchors)).problems[0]
    with pytest.raises(CatalogError, match="entry 10 is not the one that was anchored"):
        await anchor_head(ten, anchors)


async def test_concurrent_writers_take_turns_and_leave_no_gap(open_catalog, catalog, anchors):
    writers = [await open_catalog() for _ in range(8)]
    await asyncio.gather(*(writer.append_audit(f"op{number}", events(5)) for number, writer in enumerate(writers * 3)))
    verdict = await verify(catalog, None)
    assert (verdict.ok, verdict.entries) == (True, 120)


async def test_a_log_of_several_pages_is_streamed_while_others_write(open_catalog, catalog, anchors, monkeypatch):
    monkeypatch.setattr(audit, "_PAGE", 7)
    for count in (6, 7, 8, 13, 14):
        await catalog.append_audit("op1", events(count))
        await anchor_head(catalog, anchors)
        assert (await verify(catalog, anchors)).ok
    other = await open_catalog()
    verdict, *_ = await asyncio.gather(verify(catalog, anchors), *(other.append_audit("op2", events(3)) for _ in range(10)))
    assert verdict.ok, verdict.problems


async def test_an_operation_that_died_before_anchoring_is_anchored_by_the_next_one(ten, anchors):
    await ten.append_audit("op-died", events(3))
    anchor = await anchor_head(ten, anchors, operation_id="op3")
    assert anchor.sequence == 13
    assert [found.sequence for found in anchors.read(ten.id)] == [10, 13]
    assert await anchor_head(ten, anchors) == anchor or anchors.last(ten.id) == anchor
    assert len(list(anchors.read(ten.id))) == 2


async def test_a_head_that_does_not_extend_the_last_anchor_is_not_anchored(ten, anchors, direct):
    await ten.append_audit("op2", events(3))
    disarm(direct)
    direct.execute("UPDATE manor.audit_log SET actor = 'nobody' WHERE sequence = 12")
    with pytest.raises(CatalogError, match="tampered with: entry 12 was changed"):
        await anchor_head(ten, anchors)
    assert anchors.last(ten.id).sequence == 10


async def test_a_cut_log_is_not_anchored(ten, anchors, direct):
    disarm(direct)
    direct.execute("DELETE FROM manor.audit_log WHERE sequence > 8")
    direct.execute("UPDATE manor.audit_head SET sequence = 8, mac = (SELECT mac FROM manor.audit_log WHERE sequence = 8)")
    with pytest.raises(CatalogError, match="tampered"):
        await anchor_head(ten, anchors)


async def test_a_log_without_any_anchor_is_not_called_well(catalog, tmp_path):
    await catalog.append_audit("op1", events(1))
    verdict = await verify(catalog, AnchorFile(tmp_path / "elsewhere"))
    assert not verdict.ok
    assert "no anchor" in verdict.problems[0]


async def test_a_damaged_anchor_file_is_a_problem_and_not_a_traceback(ten, anchors):
    anchors.path.write_bytes(b"garbage\n" + anchors.path.read_bytes())
    assert "audit.anchor:1:1: this line is not an anchor" in (await verify(ten, anchors)).problems[0]


async def test_a_new_head_is_refused_while_the_head_is_missing(ten, direct):
    disarm(direct)
    direct.execute("DELETE FROM manor.audit_head")
    with pytest.raises(CatalogError, match="head of the audit log is missing"):
        await ten.append_audit("op2", events(1))


async def test_the_log_is_listed_newest_first_by_subject_and_time(ten, anchors):
    log = AuditLog(ten, anchors)
    newest, second = await log.list(limit=2)
    assert (newest.sequence, second.sequence) == (10, 9)
    (third,) = await log.list(subject="acme/standard/003")
    assert (third.actor, third.action, third.operation, third.details) == ("ann@desk", "tenant.create", "op1", {"number": 3})
    assert len(await log.list(since=third.at)) == 10
    await log.append("op2", events(1))
    assert [entry.sequence for entry in await log.list(since=(await log.list(limit=1))[0].at)] == [11]
    assert (await log.anchor("op2")).sequence == 11
    assert (await log.verify()).ok


async def test_entries_survive_their_tenant_and_their_operation(ten, anchors, direct):
    direct.execute("DELETE FROM manor.databases")
    direct.execute("DELETE FROM manor.tenants")
    direct.execute("DELETE FROM manor.operations")
    assert (await verify(ten, anchors)).entries == 10


async def test_secrets_in_details_are_masked_and_strange_text_verifies(catalog, anchors):
    details = {"url": "postgresql://u:geheim@h/d", "password": "geheim", "text": "a\0b \ud800 株式会社 %s", "n": 1e100}
    event = AuditEvent(actor="a\0", action="b\udcff", subject="ä", details=details)
    await catalog.append_audit("op1", [event])
    (entry,) = await catalog.audit_entries()
    assert "geheim" not in json.dumps(dict(entry.details))
    assert entry.details["n"] == 1e100
    await anchor_head(catalog, anchors)
    assert (await verify(catalog, anchors)).ok


async def test_a_chain_hangs_on_its_catalog(ten):
    assert genesis(ten.id) != genesis("00000000")
