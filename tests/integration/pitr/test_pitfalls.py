"""What keeps a moment from being reached is said, with the name of the file or the nearest moments; nothing waits for ever."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from pitr_site import PATIENCE_SECONDS, Site, changed

from manor.control.backup.recover import Recovery, Target
from manor.control.operations.tenants import find_tenant
from manor.control.rollout.bases.look import choose
from manor.control.rollout.bases.place import BasePlace
from manor.control.rollout.bases.side_source import tenant_at
from manor.control.runtime import Runtime
from manor.errors import Code, ManorError, RefusedError
from manor.wiring import embedded_server


def newest_base(site: Site) -> Path:
    return max((site.backups / "bases" / site.server).iterdir())


def fails(site: Site, tenant: str, target: Target) -> ManorError:
    with pytest.raises(ManorError) as caught:
        site.ledger_at(tenant, target)
    assert site.side_rooms() == []
    return caught.value


def test_a_moment_before_the_first_base_backup_is_refused_with_the_first_one_that_can_be_reached(site: Site) -> None:
    manifest = json.loads((newest_base(site) / "manifest.json").read_text("utf-8"))
    stopped = dt.datetime.fromisoformat(manifest["stopped_at"])
    error = fails(site, "001", Target(time=stopped - dt.timedelta(seconds=5)))
    assert isinstance(error, RefusedError)
    assert "before the end of the first base backup" in error.message
    assert stopped.isoformat() in error.hint


def test_a_moment_in_the_future_is_refused(site: Site) -> None:
    error = fails(site, "001", Target(time=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)))
    assert "in the future" in error.message


def test_an_unknown_mark_is_refused_with_those_that_are_known(site: Site) -> None:
    site.manor("backup", "mark", "known one")
    error = fails(site, "001", Target(mark="unknown one"))
    assert "no mark of that name" in error.message
    assert "known one" in error.hint


def test_a_position_that_the_server_has_not_reached_is_refused(site: Site) -> None:
    error = fails(site, "001", Target(lsn=1 << 60))
    assert "the archive ends before segment" in error.message


def test_a_target_beyond_the_end_of_the_archive_fails_with_its_last_transaction_and_waits_for_nothing(site: Site) -> None:
    site.write("001", 2)
    target = Target(time=dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))

    async def work(runtime: Runtime, place: BasePlace) -> ManorError:
        now = Target(time=dt.datetime.now(dt.UTC))
        chosen = await choose(runtime, place, site.server, now, act=True, deadline_seconds=PATIENCE_SECONDS)
        assert isinstance(chosen.outcome, Recovery)
        recovery = Recovery(
            base=chosen.outcome.base, target=target, timeline=chosen.outcome.timeline, segments=chosen.outcome.segments
        )
        record = await find_tenant(runtime, "001")
        with pytest.raises(ManorError) as caught:
            async with tenant_at(place, chosen.chain, recovery, str(record.tenant), now=chosen.now):
                pass
        return caught.value

    error = site.act(work)
    assert error.code is Code.NOT_FOUND
    assert "beyond the end of the archived log" in error.message
    assert "its last transaction is of" in error.message


def test_a_missing_segment_is_named_and_moments_before_it_are_offered(site: Site) -> None:
    early = site.write("001", 1)
    then = list(site.written[site.database("001")])
    site.write("001", 1)
    site.switch_segment()
    site.write("001", 1)
    missing = site.switch_segment()
    late = site.write("001", 1)
    site.switch_segment()
    with changed(site.archive / missing, lambda _: None):
        error = fails(site, "001", Target(time=late))
        assert f"segment {missing} is missing" in error.message
        assert "the log before it reaches to" in error.hint
        assert site.ledger_at("001", Target(time=early)) == then
        shown = site.manor("backup", "archive", "status", "--format", "json")
        assert shown.returncode == 1
        assert json.loads(shown.stdout)[0]["gaps"] == [missing]
    assert site.manor("backup", "archive", "status").returncode == 0


def test_a_segment_with_a_flipped_bit_is_named(site: Site) -> None:
    site.switch_segment()
    site.write("001", 200)
    damaged = site.switch_segment()
    late = site.write("001", 1)

    def flip(content: bytes) -> bytes:
        place = 8192 + 4000
        return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]

    with changed(site.archive / damaged, flip):
        error = fails(site, "001", Target(time=late))
    assert error.code is Code.CORRUPT
    assert damaged in error.message


def test_a_segment_that_was_cut_short_is_no_segment(site: Site) -> None:
    site.write("001", 1)
    short = site.switch_segment()
    late = site.write("001", 1)
    with changed(site.archive / short, lambda content: content[: len(content) // 2]):
        error = fails(site, "001", Target(time=late))
    assert short in error.message


@pytest.mark.parametrize("how", ["truncated", "altered", "gone"])
def test_a_damaged_member_of_the_base_backup_is_named_before_anything_starts(site: Site, how: str) -> None:
    moment = site.write("001")
    manifest = json.loads((newest_base(site) / "manifest.json").read_text("utf-8"))
    oid = next(d["oid"] for d in manifest["databases"] if d["name"] == site.database("001"))
    member = newest_base(site) / f"{oid}.tar.zst"

    def change(content: bytes) -> bytes | None:
        if how == "gone":
            return None
        middle = len(content) // 2
        return content[:middle] if how == "truncated" else content[:middle] + bytes(8) + content[middle + 8 :]

    with changed(member, change):
        error = fails(site, "001", Target(time=moment))
    assert error.code is Code.CORRUPT
    assert member.name in error.message


def test_an_altered_manifest_makes_its_base_backup_unusable_and_is_told(site: Site) -> None:
    moment = site.write("001")
    manifest = newest_base(site) / "manifest.json"
    with changed(manifest, lambda content: content.replace(b'"timeline":1', b'"timeline":2')):
        error = fails(site, "001", Target(time=moment))
        assert "no base backup" in error.message
        shown = site.manor("backup", "archive", "status", "--format", "json")
        assert "the manifest was altered" in json.loads(shown.stdout)[0]["problems"][0]


def test_settings_that_the_server_raised_after_the_base_backup_do_not_stop_the_replay(site: Site) -> None:
    environ = site.project / "customer_a" / "environ.yaml"
    before = environ.read_text("utf-8") if environ.exists() else ""
    server = embedded_server(site.workplace.project, site.workplace.environment)
    environ.write_text("settings:\n  embedded: {max_connections: 260, max_prepared_transactions: 300}\n", encoding="utf-8")
    try:
        server.stop()
        assert site.manor("server", "start").returncode == 0
        assert site.sql("postgres", "SHOW max_connections") == "260"
        moment = site.write("001", 2)
        assert site.ledger_at("001", Target(time=moment)) == site.written[site.database("001")]
    finally:
        environ.write_text(before, encoding="utf-8")
        server.stop()
        server.start()


def test_full_page_writes_off_refuses_a_base_backup(site: Site) -> None:
    site.sql("postgres", "ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()")
    try:
        with pytest.raises(RefusedError, match="full_page_writes is off"):
            site.take_base()
    finally:
        site.sql("postgres", "ALTER SYSTEM RESET full_page_writes", "SELECT pg_reload_conf()")


def test_an_archive_that_fails_is_told_in_time(site: Site) -> None:
    site.archive.rename(site.archive.with_name("archive away"))
    try:
        done = site.manor("backup", "base", "--archive-timeout", "2")
        assert done.returncode == 1
        assert "is not in the archive" in done.stderr
    finally:
        site.archive.with_name("archive away").rename(site.archive)


def test_without_any_base_backup_every_moment_is_refused_and_archiving_ends(site: Site) -> None:
    pruned = site.manor("backup", "archive", "prune", "--keep-bases", "0")
    assert pruned.returncode == 0, pruned.stderr
    assert "no longer archived" in pruned.stdout
    assert site.sql("postgres", "SHOW archive_command") == "true"
    error = fails(site, "001", Target(time=dt.datetime.now(dt.UTC)))
    assert "there is no base backup" in error.message
    assert "manor backup base" in error.hint
