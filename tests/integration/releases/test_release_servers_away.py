"""Releases while one of two servers is stopped: who needs it is told so by name, who does not goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fleet_fixtures as fixtures
import psycopg
import pytest

from manor.control.engines.embedded.server import EmbeddedServer

OTHERS = ["acme_o_001", "acme_o_002"]
IN_ONE_WAVE = ("--initial-percentage", 100, "--evaluation-period", 0, "--max-failures", "100%")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A second server for the tests of this module."""
    server = EmbeddedServer(tmp_path_factory.mktemp("spare"))
    server.start()
    yield server
    server.destroy()


@pytest.fixture
def spare(second: EmbeddedServer, wipe_server: Any) -> EmbeddedServer:
    """The same, running and empty."""
    wipe_server(second.ensure_running())
    return second


@pytest.fixture
def wide(tmp_path: Path, server_url: str, spare: EmbeddedServer) -> Any:
    """Two tenants on each of two servers, at no version, and a migration for all; the catalog is on the first."""
    fleet = fixtures.build_wide(tmp_path / "p", server_url, spare.url)
    fleet.write("001", "CREATE TABLE one (id integer);", "DROP TABLE one;")
    return fleet


def has_one(spare: EmbeddedServer) -> list[bool]:
    """Which tenants of the second server have the migration's table."""
    found = []
    for database in OTHERS:
        with psycopg.connect(spare.url, dbname=database) as connection:
            found += connection.execute("SELECT to_regclass('one') IS NOT NULL").fetchall()
    return [one for (one,) in found]


@pytest.mark.parametrize("strategy", ["atomic", "rolling"])
def test_a_server_that_no_chosen_tenant_is_on_is_not_needed(wide: Any, spare: EmbeddedServer, strategy: str) -> None:
    """The release goes on and says so."""
    spare.stop()
    report = wide.migrate("--group", "tenants", "--strategy", strategy, everyone=False)
    assert fixtures.statuses(report) == dict.fromkeys(wide.databases, "success")
    (notice,) = [n for n in report["notices"] if "does not answer" in n]
    assert notice.startswith("server spare does not answer; nothing was to be done there: ")


def test_a_server_whose_tenants_have_nothing_to_do_is_not_needed(wide: Any, spare: EmbeddedServer) -> None:
    """That is what the catalog says, which is believed."""
    wide.migrate()
    spare.stop()
    report = wide.migrate()
    assert set(fixtures.statuses(report).values()) == {"skipped"}
    assert [n for n in report["notices"] if n.startswith("server spare does not answer")]


@pytest.mark.parametrize(
    ("strategy", "options", "verb"),
    [("rolling", (), "retry"), ("rolling", (), "resume"), ("canary", IN_ONE_WAVE, "retry"), ("blue_green", (), "resume")],
)
def test_tenants_of_a_server_that_is_away_are_named_and_the_others_released(
    wide: Any, spare: EmbeddedServer, strategy: str, options: tuple[Any, ...], verb: str
) -> None:
    """Each ends as an error with the server's name; once it answers they are taken up."""
    spare.stop()
    report = wide.migrate("--strategy", strategy, *options, code=1)
    ended = fixtures.statuses(report)
    assert ended == dict.fromkeys(wide.databases, "success") | dict.fromkeys(OTHERS, "error")
    for error in fixtures.errors(report).values():
        assert error["code"] == "unreachable"
        assert "server spare did not answer" in error["message"]
    assert "server spare does not answer: nothing is done to its tenants" in report["notices"]
    operation = report["operation"]["id"]
    spare.start()
    assert has_one(spare) == [False, False]
    again = wide.json("operation", verb, operation)
    assert {d: s for d, s in fixtures.statuses(again).items() if d in OTHERS} == dict.fromkeys(OTHERS, "success")
    assert has_one(spare) == [True, True]
    assert set(wide.recorded().values()) == {"001"}


def test_tenants_of_a_server_that_is_away_count_as_failures(wide: Any, spare: EmbeddedServer) -> None:
    """A release that allows none stops at the first."""
    spare.stop()
    options = ("--strategy", "rolling", "--max-failures", 0, "--parallel", 1, "--first", "group = 'others'")
    report = wide.migrate(*options, code=1)
    assert sorted(fixtures.statuses(report).values()) == ["error", "not_started", "not_started", "not_started"]
    assert wide.has("one") == [False, False]


@pytest.mark.parametrize("words", [(), ("--dry-run",), ("--rehearse",), ("--backup-first",)], ids=" ".join)
def test_all_or_none_is_refused_with_the_name_of_the_server_that_is_away(
    wide: Any, spare: EmbeddedServer, words: tuple[str, ...]
) -> None:
    """Before anything is begun."""
    before = wide.everything()
    spare.stop()
    refused = wide.migrate(*words, code=4)["error"]
    assert refused["code"] == "unreachable"
    assert "server spare" in refused["message"]
    assert "--strategy rolling" in refused["hint"]
    assert wide.everything() == before


def test_a_rehearsal_names_tenants_of_a_server_that_is_away(wide: Any, spare: EmbeddedServer) -> None:
    """And tries the others."""
    spare.stop()
    report = wide.migrate("--strategy", "rolling", "--rehearse", code=1)
    assert fixtures.statuses(report) == dict.fromkeys(wide.databases, "success") | dict.fromkeys(OTHERS, "error")
    assert {error["code"] for error in fixtures.errors(report).values()} == {"unreachable"}


def test_a_server_that_dies_in_time_for_its_goldens_is_a_server_that_is_away(
    wide: Any, spare: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answered when the command began; the others are released."""
    import manor.control.operations.migrate as migrate

    begin = migrate.begin

    async def and_stop(*arguments: Any) -> int:
        spare.stop(mode="immediate")
        return await begin(*arguments)

    monkeypatch.setattr(migrate, "begin", and_stop)
    report = wide.migrate("--strategy", "rolling", code=1)
    assert fixtures.statuses(report) == dict.fromkeys(wide.databases, "success") | dict.fromkeys(OTHERS, "error")
    assert {error["code"] for error in fixtures.errors(report).values()} == {"unreachable"}


@pytest.mark.parametrize("words", [(), ("--verify",), ("--strategy", "rolling"), ("--rehearse",)], ids=" ".join)
def test_a_server_that_the_environment_no_longer_has_is_named(wide: Any, words: tuple[str, ...]) -> None:
    """Tenants are recorded on it: nothing is done to anybody, and what to do is said."""
    environ = wide.environment / "environ.yaml"
    lines = environ.read_text(encoding="utf-8").splitlines(keepends=True)
    environ.write_text("".join(line for line in lines if "spare" not in line), encoding="utf-8")
    refused = wide.migrate(*words, code=None)["error"]
    assert "spare" in refused["message"]
    assert wide.has("one") == [False, False]
    assert wide.migrate("--group", "tenants", everyone=False)["summary"] == {"success": 2}
