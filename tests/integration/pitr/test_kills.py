"""Commands that are killed leave no base backup, no server and no files."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

from pitr_site import Site, wait_until

from manor.control.backup.recover import Target
from manor.control.engines.embedded.processes import find_orphans, is_alive


def bases(site: Site) -> list[Path]:
    return sorted((site.backups / "bases" / site.server).glob("*/manifest.json"))


def test_a_base_backup_that_was_killed_does_not_exist_and_the_next_one_removes_its_rest(site: Site) -> None:
    before = bases(site)
    # Enough bytes that it is surely still under way.
    site.sql(site.database("002"), "CREATE TABLE large AS SELECT n, md5(n::text) FROM generate_series(1, 500000) AS n")
    folder = site.backups / "bases" / site.server
    killed = subprocess.Popen(site.command("backup", "base"), cwd=site.project, stdout=subprocess.DEVNULL)
    wait_until(
        lambda: len(list(folder.glob("*/*.tar.zst"))) > sum(len(list(b.parent.iterdir())) - 1 for b in before), "a member"
    )
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert bases(site) == before
    listed = site.manor("backup", "bases", "--format", "json")
    assert listed.stdout.count('"base"') == len(before)

    moment = site.write("001")
    then = list(site.written[site.database("001")])
    assert site.ledger_at("001", Target(time=moment)) == then
    done = site.manor("backup", "base")
    assert done.returncode == 0, done.stderr
    assert len(bases(site)) == len(before) + 1
    assert {path.parent for path in folder.glob("*/*")} == {path.parent for path in bases(site)}


def test_a_side_instance_whose_command_was_killed_is_ended_and_removed_by_the_next_one(site: Site, tmp_path: Path) -> None:
    moment = site.write("001")
    for _ in range(4):
        site.switch_segment()
    command = site.command("backup", "extract", "--tenant-id", "001", "--to", moment.isoformat(), "--output", tmp_path / "x")
    killed = subprocess.Popen(command, cwd=site.project, stdout=subprocess.DEVNULL)

    def pid_files() -> list[Path]:
        return [room / "data" / "postmaster.pid" for room in site.side_rooms() if (room / "data" / "postmaster.pid").exists()]

    wait_until(lambda: bool(pid_files()) and bool(pid_files()[0].read_text("utf-8")), "a side instance")
    pid = int(pid_files()[0].read_text("utf-8").split("\n")[0])
    (sockets,) = [(room / "socket").readlink() for room in site.side_rooms()]
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert is_alive(pid)

    assert site.manor("backup", "bases").returncode == 0
    assert site.side_rooms() == []
    assert not is_alive(pid)
    assert not sockets.exists()
    assert not (tmp_path / "x").exists()


def test_destroying_the_embedded_server_takes_a_dead_commands_side_instance_along(site: Site, tmp_path: Path) -> None:
    moment = site.write("001")
    command = site.command("backup", "extract", "--tenant-id", "001", "--to", moment.isoformat(), "--output", tmp_path / "x")
    killed = subprocess.Popen(command, cwd=site.project, stdout=subprocess.DEVNULL)
    wait_until(lambda: any((room / "data" / "postmaster.pid").exists() for room in site.side_rooms()), "a side instance")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    (data,) = [room / "data" for room in site.side_rooms()]
    done = site.manor("server", "destroy", "--confirm")
    assert done.returncode == 0, done.stderr
    assert site.side_rooms() == []
    assert find_orphans(data, "") == []
    site.deploy()
    site.take_base()
