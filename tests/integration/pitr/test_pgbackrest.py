"""pgBackRest's repository as the source of one tenant at a moment: of a server of the distribution's version."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from debian_server import Debian, debian_server
from pitr_site import Site, side_url, wait_until

from manor.control.backup.recover import Target
from manor.control.rollout.bases.place import BasePlace
from manor.control.runtime import Runtime
from manor.wiring import embedded_server

NUMBERS = itertools.count(1)
USERS = "SELECT username FROM users WHERE username LIKE 'user %' ORDER BY id"
SECRET = "the repository's passphrase"
CONFIGURATION = """\
[global]
repo1-path={folder}/repository
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass={secret}
log-path={folder}
archive-async=y
spool-path={folder}

[fleet]
pg1-path={folder}/data
pg1-port={port}
pg1-socket-path={folder}
pg1-user=postgres

[empty]
pg1-path={folder}/data
pg1-port={port}
pg1-socket-path={folder}
pg1-user=postgres
"""
WHOLE = "the whole cluster was restored from pgBackRest's repository (stanza fleet)"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A fleet on a server that pgBackRest backs up."""

    site: Site
    debian: Debian
    first: str
    """Label of the backup."""

    @property
    def config(self) -> Path:
        return self.debian.folder / "pgbackrest.conf"

    def write(self, tenant: str, count: int) -> dt.datetime:
        """Commit users, one transaction each; a moment after the last commit, by the server's clock."""
        with self.site.connect(self.site.database(tenant)) as connection:
            for _ in range(count):
                name = f"user {next(NUMBERS)}"
                connection.execute("INSERT INTO users (username, email) VALUES (%s, %s)", [name, name])
            row = connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        moment: dt.datetime = row[0]
        return moment

    def users(self, tenant: str) -> list[str]:
        """What the live database holds, in the order in which it was committed."""
        with self.site.connect(self.site.database(tenant)) as connection:
            return [row[0] for row in connection.execute(USERS).fetchall()]

    def users_at(self, tenant: str, target: Target) -> list[str]:
        """What it held."""

        async def work(runtime: Runtime, place: BasePlace) -> list[str]:
            async with (
                self.site.moment(runtime, place, tenant, target) as moment,
                await psycopg.AsyncConnection.connect(side_url(moment)) as connection,
            ):
                return [row[0] for row in await (await connection.execute(USERS)).fetchall()]

        return self.site.act(work)

    @contextlib.contextmanager
    def named(self, stanza: str) -> Iterator[None]:
        """Another stanza for the block."""
        name_stanza(self.site, self.debian.url, "main", stanza, self.config)
        try:
            yield
        finally:
            name_stanza(self.site, self.debian.url, "main", "fleet", self.config)


def name_stanza(site: Site, url: str | None, server: str, stanza: str, config: Path) -> None:
    where = f"deployments:\n  {server}: {url!r}\n" if url else ""
    named = f"settings:\n  backup:\n    pgbackrest:\n      {server}: {{stanza: {stanza}, config: {config}}}\n"
    (site.project / "customer_a" / "environ.yaml").write_text(where + named, encoding="utf-8")


@pytest.fixture(scope="module")
def kept(
    require: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory, make_project: Callable[..., Path]
) -> Iterator[Kept]:
    """A deployed fleet with one backup in an encrypted repository, the log pushed asynchronously; the tests share it."""
    programs, pgbackrest = require("debian-postgresql"), require("pgbackrest") / "pgbackrest"
    push = f"{pgbackrest} --config={{folder}}/pgbackrest.conf --stanza=fleet archive-push %p"
    with debian_server(programs, settings={"archive_mode": "on", "archive_command": push}) as debian:
        config = debian.folder / "pgbackrest.conf"
        config.write_text(CONFIGURATION.format(folder=debian.folder, port=debian.port, secret=SECRET), encoding="utf-8")
        debian.account.own(config)
        config.chmod(0o600)
        command = (pgbackrest, f"--config={config}", "--stanza=fleet")
        debian.run(*command, "stanza-create")
        site = Site(project=make_project(tmp_path_factory.mktemp("pgbackrest") / "a project", debian.url), server="main")
        name_stanza(site, debian.url, "main", "fleet", config)
        done = site.manor("multi-tenant", "deploy", "--registry", "customer_a/tenant_registry.yaml")
        assert done.returncode == 0, done.stderr
        debian.run(*command, "--start-fast", "--repo1-retention-full=9", "backup")
        [found] = json.loads(debian.run(*command, "--output=json", "info"))
        backup = found["backup"][0]
        # It tells the second in which it ended: moments after that second can be reached.
        past = f"SELECT clock_timestamp() > to_timestamp({backup['timestamp']['stop'] + 1})"
        wait_until(lambda: site.sql("postgres", past), "the second of the backup is over")
        yield Kept(site=site, debian=debian, first=backup["label"])


@contextlib.contextmanager
def written_to(kept: Kept, tenant: str) -> Iterator[None]:
    """Somebody writes to a tenant for as long as the block lasts, and is never refused."""
    ended, failures = threading.Event(), list[BaseException]()

    def write() -> None:
        try:
            while not ended.is_set():
                kept.write(tenant, 20)
        except BaseException as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()
    assert failures == []


def test_a_tenant_goes_back_to_a_moment_from_the_whole_cluster_while_its_neighbour_is_written_to(kept: Kept) -> None:
    site = kept.site
    with written_to(kept, "002"):
        moment = kept.write("001", 30)
        then = kept.users("001")
        kept.write("001", 7)
        neighbours = kept.users("002")
        done = site.manor("tenant", "restore", "--tenant-id", "001", "--to", moment.isoformat(), "--format", "json")
        assert done.returncode == 0, done.stderr + done.stdout
    [outcome] = json.loads(done.stdout)["outcomes"]
    assert f"{WHOLE}, backup {kept.first}" in outcome["detail"]
    assert SECRET not in done.stdout + done.stderr
    assert kept.users("001") == then
    assert kept.users("002")[: len(neighbours)] == neighbours
    assert len(kept.users("002")) > len(neighbours)
    assert site.side_rooms() == []
    undone = site.manor("tenant", "restore", "--tenant-id", "001", "--undo")
    assert undone.returncode == 0, undone.stderr
    assert len(kept.users("001")) == len(then) + 7


def test_marks_and_positions_are_reached_too(kept: Kept) -> None:
    site = kept.site
    kept.write("003", 3)
    assert site.manor("backup", "mark", "before").returncode == 0
    position = site.sql("postgres", "SELECT pg_current_wal_insert_lsn()::text")
    then = kept.users("003")
    kept.write("003", 3)
    assert kept.users_at("003", Target(mark="before")) == then
    done = site.manor("tenant", "restore", "--tenant-id", "003", "--to-lsn", position)
    assert done.returncode == 0, done.stderr + done.stdout
    assert kept.users("003") == then


def test_a_dry_run_names_the_backup_and_changes_nothing(kept: Kept) -> None:
    moment = kept.write("004", 1)
    for words in (("tenant", "restore"), ("backup", "extract")):
        done = kept.site.manor(*words, "--tenant-id", "004", "--to", moment.isoformat(), "--dry-run", "--format", "json")
        assert done.returncode == 0, done.stderr
        assert kept.first in done.stdout
        assert "pgBackRest's repository (stanza fleet)" in done.stdout
    assert kept.site.side_rooms() == []


def test_a_dump_of_a_moment_comes_from_the_whole_cluster_and_the_live_spool_is_left_alone(kept: Kept, tmp_path: Path) -> None:
    spooled = kept.debian.folder / "archive" / "fleet" / "in" / "of the live server"
    kept.debian.run("mkdir", "-p", spooled)
    moment = kept.write("004", 2)
    file = tmp_path / "then.dump"
    said = ("--to", moment.isoformat(), "--output", file, "--format", "json")
    done = kept.site.manor("backup", "extract", "--tenant-id", "004", *said)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["told"].startswith(WHOLE)
    assert file.stat().st_size > 1000
    assert spooled.is_dir()


@pytest.mark.parametrize(
    ("to", "reason", "hint"),
    [
        ("2020-01-01T00:00:00Z", "before the end of the first base backup", "on can be reached"),
        ("2190-01-01T00:00:00Z", "it lies in the future", "the log before it reaches to"),
    ],
)
def test_a_moment_outside_the_repository_is_refused_with_the_nearest_ones(kept: Kept, to: str, reason: str, hint: str) -> None:
    for words in ([], ["--dry-run"]):
        done = kept.site.manor("tenant", "restore", "--tenant-id", "001", "--to", to, *words)
        assert done.returncode == 3, done.stderr
        assert reason in done.stderr
        assert hint in done.stderr


def test_a_stanza_that_is_not_there_is_refused_by_name(kept: Kept) -> None:
    with kept.named("nobody"):
        done = kept.site.manor("tenant", "restore", "--tenant-id", "001", "--to", "2026-01-01T00:00:00Z")
    assert done.returncode == 2, done.stderr
    assert "server main: pgBackRest has no stanza nobody" in done.stderr
    assert "settings.backup.pgbackrest" in done.stderr


def test_a_stanza_without_a_backup_is_refused_with_what_makes_one(kept: Kept) -> None:
    kept.debian.run("pgbackrest", f"--config={kept.config}", "--stanza=empty", "stanza-create")
    with kept.named("empty"):
        done = kept.site.manor("tenant", "restore", "--tenant-id", "001", "--to", "2026-01-01T00:00:00Z")
    assert done.returncode == 3, done.stderr
    assert "there is no backup of this server in pgBackRest's repository (stanza empty)" in done.stderr
    assert "pgbackrest --stanza=empty backup makes one" in done.stderr


def test_a_log_that_does_not_arrive_fails_in_time_and_names_the_archive(kept: Kept, tmp_path: Path) -> None:
    moment = kept.write("004", 1)
    stopped = ("pgbackrest", f"--config={kept.config}", "--stanza=fleet")
    kept.debian.run(*stopped, "stop")
    try:
        said = ("--to", moment.isoformat(), "--output", tmp_path / "then.dump", "--archive-timeout", "1")
        done = kept.site.manor("backup", "extract", "--tenant-id", "004", *said)
    finally:
        kept.debian.run(*stopped, "start")
    assert done.returncode == 1, done.stderr
    assert "pgBackRest's repository (stanza fleet) after 1 seconds" in done.stderr
    assert not list(tmp_path.iterdir())


def test_without_pgbackrest_on_the_machine_it_is_refused_with_how_to_get_it(kept: Kept) -> None:
    said = ("tenant", "restore", "--tenant-id", "001", "--to", "2026-01-01T00:00:00Z")
    done = kept.site.manor(*said, env={**os.environ, "PATH": "/nowhere"})
    assert done.returncode == 2, done.stderr
    assert "there is no pgbackrest on this machine" in done.stderr
    assert "apt-get install pgbackrest" in done.stderr


def test_a_stanza_of_a_server_that_nobody_declared_is_refused_where_it_stands(kept: Kept) -> None:
    name_stanza(kept.site, kept.debian.url, "main", "fleet", kept.config)
    environ = kept.site.project / "customer_a" / "environ.yaml"
    before = environ.read_text("utf-8")
    environ.write_text(before.replace("      main: {stanza", "      mian: {stanza"), encoding="utf-8")
    done = kept.site.manor("backup", "bases")
    environ.write_text(before, encoding="utf-8")
    assert done.returncode == 2
    assert "'mian', which is no deployment" in done.stderr
    assert "customer_a/environ.yaml:6" in done.stderr


def test_a_server_that_went_through_a_recovery_of_its_own_is_followed_to_its_new_timeline(kept: Kept) -> None:
    kept.debian.recover_in_place()
    assert kept.site.sql("postgres", "SELECT pg_walfile_name(pg_current_wal_lsn())").startswith("00000002")
    moment = kept.write("004", 2)
    then = kept.users("004")
    kept.write("004", 1)
    assert kept.users_at("004", Target(time=moment)) == then


@pytest.fixture
def embedded(require: Callable[[str], Path], tmp_path: Path, make_project: Callable[..., Path]) -> Iterator[Site]:
    """A fleet on the embedded server, whose version is newer than the distribution's pgBackRest."""
    require("pgbackrest")
    site = Site(project=make_project(tmp_path / "a project"))
    try:
        site.deploy()
        yield site
    finally:
        embedded_server(site.workplace.project, site.workplace.environment).destroy()


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that every account can enter."""
    with tempfile.TemporaryDirectory(prefix="manor-readable-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_server_of_a_version_that_pgbackrest_does_not_know_is_refused_with_the_reason(embedded: Site, readable: Path) -> None:
    config = readable / "pgbackrest.conf"
    config.write_text("[global]\n", encoding="utf-8")
    name_stanza(embedded, None, "embedded", "fleet", config)
    for words in ([], ["--dry-run"]):
        done = embedded.manor("tenant", "restore", "--tenant-id", "001", "--to", "2026-01-01T00:00:00Z", *words)
        assert done.returncode == 2, done.stderr
        assert "server embedded: the pgBackRest of this machine does not know the server's version" in done.stderr
        assert "install a newer pgBackRest" in done.stderr
