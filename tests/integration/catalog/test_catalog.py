"""Tenants, databases, outcomes, goldens, the warm pool and encrypted URLs in a real catalog."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import sys

import pytest
from cryptography.fernet import Fernet

from manor.control.catalog import vault
from manor.control.catalog.records import AuditEvent, GoldenRecord, ServerRecord
from manor.control.catalog.secrets import KeyRing, SecretBox
from manor.control.steps import Failure, Status
from manor.errors import CatalogError, Code, ConflictError, InputError, NotFoundError
from manor.tenancy import TenantId


@pytest.fixture
async def begun(catalog, operation):
    """The catalog with operation ``op1`` running."""
    await catalog.begin_operation(operation("op1"))
    return catalog


async def test_the_tenants_table_has_the_references_columns(direct):
    rows = direct.execute(
        "SELECT column_name, data_type, is_nullable FROM information_schema.columns"
        " WHERE table_schema = 'manor' AND table_name = 'tenants'"
    ).fetchall()
    columns = {name: (kind, nullable) for name, kind, nullable in rows}
    assert columns["id"] == ("text", "NO")
    assert columns["name"] == ("text", "NO")
    assert columns["database_url"] == ("text", "NO")
    assert columns["created_at"] == ("timestamp with time zone", "NO")
    assert columns["is_active"] == ("boolean", "NO")
    key = direct.execute("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'tenants_pkey'").fetchone()
    assert key == ("PRIMARY KEY (id)",)


async def test_an_intent_is_pending_until_its_result_makes_it_ready(begun, record, outcome):
    intended = [record(1), record(2)]
    await begun.record_intent(intended, "op1")
    assert {found.state for found in await begun.databases()} == {"pending"}
    done = dataclasses.replace(intended[0], golden="g1", fingerprint="f1", url="")
    await begun.record_results(
        "op1", [outcome(done)], [done], [AuditEvent(actor="a", action="create", subject=str(done.tenant))]
    )
    first, second = await begun.databases()
    assert (first.state, first.golden, first.fingerprint, second.state) == ("ready", "g1", "f1", "pending")
    assert (first.name, first.source, first.variables, first.config) == (
        intended[0].name,
        intended[0].source,
        intended[0].variables,
        intended[0].config,
    )
    assert first.url == ""
    assert first.created_at is not None
    assert len(await begun.audit_entries()) == 1


async def test_a_result_without_a_url_keeps_the_recorded_one(begun, record, outcome):
    await begun.record_intent([record(1)], "op1")
    await begun.record_results("op1", [outcome(record(1))], [record(1, url="")])
    assert (await begun.database_by_tenant("001")).url == record(1).url


async def test_a_pending_database_that_ends_in_error_is_failed_and_a_ready_one_stays_ready(begun, record, outcome, direct):
    await begun.record_intent([record(1), record(2)], "op1")
    await begun.record_results("op1", [outcome(record(2))], [record(2)])
    failure = Failure(code=Code.TIMEOUT, message="postgresql://u:geheim@h/d: no answer\0", hint="try again")
    outcomes = [outcome(record(number), Status.ERROR, failure=failure) for number in (1, 2)]
    await begun.record_results("op1", outcomes)
    assert [found.state for found in await begun.databases()] == ["failed", "ready"]
    rows = direct.execute("SELECT status, error->>'code', error->>'message' FROM manor.outcomes").fetchall()
    assert rows == [("error", "timeout", "postgresql://u:***@h/d: no answer\ufffd")] * 2


async def test_results_are_all_recorded_or_none(begun, record, outcome, direct):
    await begun.record_intent([record(1), record(2)], "op1")
    stolen = record(2, database=record(1).database)
    event = AuditEvent(actor="a", action="create", subject="x")
    with pytest.raises(ConflictError, match="Key \\(server, database\\)=\\(local, acme_001\\) already exists"):
        await begun.record_results("op1", [outcome(record(1)), outcome(stolen)], [record(1), stolen], [event])
    assert {found.state for found in await begun.databases()} == {"pending"}
    assert direct.execute("SELECT count(*) FROM manor.outcomes").fetchone() == (0,)
    assert await begun.audit_entries() == []


async def test_a_name_or_role_of_another_tenant_is_refused_by_name(begun, record):
    await begun.record_intent([record(1)], "op1")
    with pytest.raises(
        ConflictError, match="database acme_001 on local, wanted by tenant acme/standard/002, belongs to tenant"
    ):
        await begun.record_intent([record(2, database="acme_001")], "op1")
    with pytest.raises(ConflictError, match="role acme_001_app on local"):
        await begun.record_intent([record(3), record(2, role="acme_001_app")], "op1")
    assert len(await begun.databases()) == 1


async def test_a_ready_database_does_not_move_to_another_server_by_itself(begun, record):
    await begun.record_intent([record(1)], "op1")
    await begun.record_intent([record(1, server="elsewhere")], "op1")
    await begun.record_results("op1", [], [record(1, server="elsewhere")])
    with pytest.raises(ConflictError, match="recorded as database acme_001 on elsewhere"):
        await begun.record_intent([record(1)], "op1")


async def test_databases_are_listed_by_source_server_group_and_state(begun, record):
    await begun.record_intent([record(1), record(2, source="other.yaml", server="east", group="vip")], "op1")
    one, two = record(1).tenant, record(2).tenant
    assert [found.tenant for found in await begun.databases()] == [one, two]
    assert [found.tenant for found in await begun.databases("other.yaml")] == [two]
    assert [found.tenant for found in await begun.databases(server="local")] == [one]
    assert [found.tenant for found in await begun.databases(group="vip")] == [two]
    assert await begun.databases(state="ready") == []


async def test_a_tenant_is_found_by_id_short_id_and_database_name(begun, record):
    await begun.record_intent([record(1), record(2)], "op1")
    for text in ("acme/standard/002", "002", "acme_002"):
        found = await begun.database_by_tenant(text)
        assert (found.tenant, found.url) == (record(2).tenant, record(2).url)
        assert "geheim" not in repr(found)


async def test_an_ambiguous_short_id_lists_the_candidates_and_an_unknown_one_the_nearest(begun, record):
    twin = record(1, tenant=TenantId("acme", "vip", "001"), database="acme_vip_001", role="vip")
    await begun.record_intent([record(1), twin], "op1")
    with pytest.raises(InputError, match="several tenants") as ambiguous:
        await begun.database_by_tenant("001")
    assert "acme/standard/001, acme/vip/001" in ambiguous.value.hint
    assert (await begun.database_by_tenant("acme/vip/001")).database == "acme_vip_001"
    for text, nearest in (("acme_vip_01", "'acme_vip_001'"), ("acme/standrd/001", "'acme/standard/001'")):
        with pytest.raises(NotFoundError) as unknown:
            await begun.database_by_tenant(text)
        assert nearest in unknown.value.hint


async def test_no_password_is_ever_stored(begun, record, outcome, server):
    records = [record(number) for number in range(1, 30)]
    await begun.record_intent(records, "op1")
    await begun.record_results("op1", [outcome(found) for found in records], records)
    await begun.set_url(records[0].tenant, "postgresql://x:geheim-neu@h/d")
    dump = server.run("pg_dump", "--data-only", "-h", str(server.folder), "-U", "postgres", "manor_catalog")
    assert "acme/standard/029" in dump
    assert "geheim" not in dump


async def test_the_database_itself_refuses_a_url_in_plain_text(begun, record, direct):
    await begun.record_intent([record(1)], "op1")
    with pytest.raises(Exception, match="tenants_database_url_is_encrypted"):
        direct.execute("UPDATE manor.tenants SET database_url = 'postgresql://u:p@h/d'")


async def test_urls_are_set_and_read_in_batches(begun, record):
    records = [record(number) for number in range(1, 6)]
    await begun.record_intent(records, "op1")
    await begun.set_url(records[0].tenant, "postgresql://new")
    urls = await begun.urls([found.tenant for found in records] + [TenantId("no", "such", "tenant")])
    assert urls == {found.tenant: found.url for found in records} | {records[0].tenant: "postgresql://new"}
    with pytest.raises(NotFoundError):
        await begun.set_url(TenantId("no", "such", "tenant"), "x")


async def test_a_url_that_was_moved_to_another_tenant_is_not_given_out(begun, record, direct):
    await begun.record_intent([record(1), record(2)], "op1")
    direct.execute(
        "UPDATE manor.tenants SET database_url = (SELECT database_url FROM manor.tenants WHERE short_id = '001')"
        " WHERE short_id = '002'"
    )
    with pytest.raises(CatalogError, match="is the one of acme/standard/001"):
        await begun.urls([record(2).tenant])


async def test_keys_are_rotated_and_the_old_one_is_no_longer_needed(open_catalog, admin_url, tmp_path, record, operation):
    ring = KeyRing.load(tmp_path, {}).created()
    catalog = await open_catalog(secrets=SecretBox(ring))
    await catalog.begin_operation(operation("op1"), audit=[AuditEvent(actor="a", action="b", subject="c")])
    await catalog.record_intent([record(number) for number in range(1, 8)], "op1")
    rotated = ring.rotate()
    assert await catalog.reencrypt(SecretBox(rotated)) == 7
    assert await catalog.reencrypt(SecretBox(rotated)) == 0
    retired = SecretBox(rotated.retire())
    fresh = await open_catalog(secrets=retired)
    assert (await fresh.database_by_tenant("003")).url == record(3).url
    (entry,), _ = await fresh.audit_page(after=0, limit=10)
    assert retired.audit_key(entry.key_id) is not None
    with pytest.raises(CatalogError, match="not among those"):
        await open_catalog(secrets=SecretBox(ring))


_KILLED_ROTATION = """
import asyncio, os, signal, sys
from pathlib import Path
from manor.control.catalog import vault
from manor.control.catalog.catalog import Catalog
from manor.control.catalog.secrets import KeyRing, SecretBox

class DyingBox(SecretBox):
    calls = 0
    def encrypt(self, owner, text):
        DyingBox.calls += 1
        if DyingBox.calls == 25:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encrypt(owner, text)

async def main():
    box = DyingBox(KeyRing.load(Path(sys.argv[1]), {}).created())
    catalog = await Catalog.open(sys.argv[2], box, application="dying")
    await catalog.reencrypt(box)

vault._REENCRYPT_BATCH = 10
asyncio.run(main())
"""


async def test_a_key_rotation_that_is_killed_in_the_middle_is_finished_by_the_next(
    open_catalog, admin_url, tmp_path, record, operation
):
    ring = KeyRing.load(tmp_path, {}).created()
    catalog = await open_catalog(secrets=SecretBox(ring))
    await catalog.begin_operation(operation("op1"))
    records = [record(number) for number in range(1, 61)]
    await catalog.record_intent(records, "op1")
    box = SecretBox(ring.rotate())
    killed = await asyncio.create_subprocess_exec(sys.executable, "-c", _KILLED_ROTATION, str(tmp_path), admin_url)
    assert await killed.wait() == -signal.SIGKILL
    other = await open_catalog(secrets=box)
    expected = {found.tenant: found.url for found in records}
    assert await other.urls(expected) == expected
    assert await other.reencrypt(box) == 40
    assert await other.urls(expected) == expected


async def test_rotation_goes_on_over_many_batches(begun, record, monkeypatch, box):
    monkeypatch.setattr(vault, "_REENCRYPT_BATCH", 7)
    await begun.record_intent([record(number) for number in range(1, 29)], "op1")
    (old,) = box.ring._keys
    newer = SecretBox(KeyRing([Fernet.generate_key().decode(), old.text]))
    assert await begun.reencrypt(newer) == 28


async def test_only_what_never_was_ready_is_forgotten(begun, record, outcome):
    records = [record(1), record(2)]
    await begun.record_intent(records, "op1")
    await begun.record_results("op1", [outcome(records[0])], ready=[records[0]])
    for number in (1, 2, 2, 3):
        await begun.forget(record(number).tenant, operation_id="op1", audit=[])
    assert [found.tenant for found in await begun.databases()] == [records[0].tenant]
    with pytest.raises(NotFoundError):
        await begun.database_by_tenant(str(records[1].tenant))
    await begun.record_intent([dataclasses.replace(record(4), database=records[1].database, role=records[1].role)], "op1")


async def test_urls_are_renewed_together_and_stay_bound_to_their_tenants(begun, record):
    records = [record(1), record(2)]
    await begun.record_intent(records, "op1")
    event = AuditEvent(actor="me", action="server.move", subject="local", details={})
    new = {r.tenant: f"postgresql://moved/{r.database}" for r in records}
    await begun.renew_urls(new, operation_id="op1", audit=[event])
    assert await begun.urls(new) == new
    assert [entry.action for entry in await begun.audit_entries(limit=1)] == ["server.move"]


async def test_goldens_and_servers_are_remembered(catalog):
    golden = GoldenRecord(server="local", template="standard", digest="d1", database="manor_golden_1", fingerprint="f1")
    await catalog.put_golden(golden)
    await catalog.put_golden(dataclasses.replace(golden, fingerprint="f2"))
    (found,) = await catalog.goldens("local")
    assert dataclasses.replace(found, created_at=None) == dataclasses.replace(golden, fingerprint="f2")
    await catalog.drop_golden("local", "manor_golden_1")
    await catalog.drop_golden("local", "manor_golden_1")
    assert await catalog.goldens("local") == []
    for version in ("17", "18"):
        await catalog.put_server(ServerRecord(name="local", engine="postgres", url="postgresql:///", version=version))
    assert [server.version for server in await catalog.servers()] == ["18"]


async def test_twenty_takers_of_ten_warm_databases_get_ten_different_ones(open_catalog, catalog):
    names = [f"manor_warm_{number}" for number in range(10)]
    await catalog.pool_add("local", "d1", names)
    await catalog.pool_add("local", "d1", names)
    await catalog.pool_add("local", "d2", ["manor_warm_other"])
    takers = await asyncio.gather(*(open_catalog() for _ in range(20)))
    taken = await asyncio.gather(*(taker.pool_take("local", "d1") for taker in takers))
    assert sorted(name for name in taken if name) == names
    assert [found.database for found in await catalog.pool_list()] == ["manor_warm_other"]


async def test_the_oldest_warm_database_is_taken_first_and_forgotten_ones_are_not_taken(catalog):
    await catalog.pool_add("local", "d1", ["b"])
    await catalog.pool_add("local", "d1", ["a", "c"])
    await catalog.pool_forget("local", ["a", "unknown"])
    assert [await catalog.pool_take("local", "d1") for _ in range(3)] == ["b", "c", None]
    assert await catalog.pool_list("local") == []


async def test_many_tasks_share_one_catalog(begun, record, outcome):
    records = [record(number) for number in range(1, 41)]
    await begun.record_intent(records, "op1")
    events = [[AuditEvent(actor="a", action="create", subject=str(found.tenant))] for found in records]
    await asyncio.gather(
        *(begun.record_results("op1", [outcome(r)], [r], e) for r, e in zip(records, events, strict=True)),
        begun.databases(),
    )
    assert {found.state for found in await begun.databases()} == {"ready"}
    assert len(await begun.audit_entries()) == 40


async def test_strange_text_is_stored_as_it_is(begun, record):
    name = 'A: "B" {{ 7*7 }} \'; DROP TABLE tenants; -- \n\\u0041 %s 株式会社'
    await begun.record_intent([record(1, name=name, variables={"N": name}, config={name: [1.5, None, {"x": True}]})], "op1")
    (found,) = await begun.databases()
    assert (found.name, found.variables, found.config) == (name, {"N": name}, {name: [1.5, None, {"x": True}]})


async def test_text_that_the_database_cannot_hold_is_an_error_and_not_a_traceback(begun, record):
    for name in ("a\0b", "a\ud800b"):
        with pytest.raises(CatalogError):
            await begun.record_intent([record(1, name=name)], "op1")
    assert await begun.databases() == []


class Wire:
    """Stands between client and server and counts how often the client speaks after the server did."""

    def __init__(self, server_socket: str) -> None:
        self._server_socket = server_socket
        self._server_spoke_last = True
        self.turns = 0
        self.ended = asyncio.Event()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._server_socket)
        await asyncio.gather(self._pump(reader, server_writer, True), self._pump(server_reader, writer, False))
        self.ended.set()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, from_client: bool) -> None:
        while data := await reader.read(65536):
            self.turns += from_client and self._server_spoke_last
            self._server_spoke_last = not from_client
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()


async def test_the_result_of_one_tenant_takes_two_round_trips_and_taking_a_warm_one_takes_one(
    server, begun, open_catalog, record, outcome, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("w")
    wire = Wire(f"{server.folder}/.s.PGSQL.5432")
    listening = await asyncio.start_unix_server(wire.accept, f"{folder}/.s.PGSQL.5432")
    catalog = await open_catalog(url=server.url().replace(str(server.folder), str(folder)))
    event = AuditEvent(actor="a", action="create", subject="x")
    turns = []
    for call in (
        lambda: catalog.pool_take("local", "d1"),
        lambda: catalog.record_intent([record(1)], "op1"),
        lambda: catalog.record_results("op1", [outcome(record(1))], [record(1)], [event]),
    ):
        wire.turns = 0
        await call()
        turns.append(wire.turns)
    await catalog.close()
    await wire.ended.wait()
    listening.close()
    await listening.wait_closed()
    assert turns == [1, 2, 2]
