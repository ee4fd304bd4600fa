"""``manor migration new``, ``lint`` and ``squash``: what needs no server, and no catalog where that is said."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from manor.cli.failures import run
from manor.cli.main import cli
from manor.control.migrate.folder import read_folder
from manor.control.migrate.squash import squash_version
from manor.control.operations.migrations import Whereabouts, new_migration

NOW = dt.datetime(2026, 11, 21, 18, 30, tzinfo=dt.timezone(dt.timedelta(hours=9)))
UP = "-- migrate:up\n"


@pytest.fixture
def project(tmp_path: Path, make_project: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small project, which is where the commands run."""
    folder = make_project(tmp_path / "a project")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """``ask("new", "x", code=0)``: the JSON document that ``manor migration`` prints."""

    def ask(*words: str, code: int = 0) -> Any:
        assert run(cli, ["--format", "json", "migration", *words]) == code
        return json.loads(capsys.readouterr().out)

    return ask


def write(folder: Path, **files: str) -> Path:
    """``_1_a="SELECT 1;"`` is the file ``1_a.sql`` with this up section."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name.removeprefix('_')}.sql").write_text(text if text.startswith("--") else UP + text, encoding="utf-8")
    return folder


# new


def test_a_new_migration_has_the_utc_time_a_safe_name_and_both_sections(project: Path) -> None:
    """A name with blanks, slashes and capitals becomes one that every file system takes."""
    made = new_migration(Whereabouts(project=project), "Add ../Users' plan (東京)", NOW)
    assert made.path == project / "customer_a" / "migrations" / "20261121093000_add_users_plan_東京.sql"
    assert made.path.read_text() == "-- migrate:up\n\n\n-- migrate:down\n\n"


def test_a_second_migration_of_the_same_second_is_newer_and_overwrites_nothing(project: Path) -> None:
    """Even with the same name."""
    where = Whereabouts(project=project)
    first, second = (new_migration(where, "x", NOW) for _ in range(2))
    assert (first.version, second.version) == ("20261121093000", "20261121093001")
    assert first.path.exists()


def test_the_folder_is_the_registrys_the_templates_or_the_projects(project: Path, ask: Callable[..., Any]) -> None:
    """Paths are printed from where the user stands."""
    assert ask("new", "a")["path"].startswith("customer_a/migrations/2")
    assert ask("new", "b", "--template", "common")["path"].startswith("customer_a/common/migrations/2")
    assert ask("new", "c", "--project-wide")["path"].startswith("migrations/2")


def test_the_registry_may_name_its_folder(project: Path, ask: Callable[..., Any]) -> None:
    """``migration_config.data_migration_scripts`` is obeyed, and one that leads out is refused."""
    registry = project / "customer_a" / "tenant_registry.yaml"
    text = registry.read_text()
    registry.write_text(text + "migration_config:\n  data_migration_scripts: changes\n")
    assert ask("new", "a")["path"].startswith("customer_a/changes/2")
    registry.write_text(text + "migration_config:\n  data_migration_scripts: ../../changes\n")
    assert "inside the project" in ask("new", "a", code=2)["error"]["message"]


def test_of_several_registries_one_must_be_named(project: Path, ask: Callable[..., Any]) -> None:
    """By its environment, or by its path."""
    other = project / "customer_b"
    other.mkdir()
    (other / "tenant_registry.yaml").write_text((project / "customer_a" / "tenant_registry.yaml").read_text())
    assert "--environment" in ask("new", "a", code=2)["error"]["hint"]
    assert ask("new", "a", "-e", "customer_b")["path"].startswith("customer_b/migrations/2")
    assert ask("new", "a", "--registry", "customer_a/tenant_registry.yaml")["path"].startswith("customer_a/migrations/2")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["%!"], "no letter or digit"),
        (["a", "--template", "tenant_typ1"], "there is no template"),
        (["a", "--template", "../customer_a"], "outside the project"),
        (["a", "-e", "nowhere"], "there is no environment"),
        (["a", "--template", "common", "--project-wide"], "one folder"),
    ],
)
def test_what_cannot_be_a_migration_is_refused_before_anything_is_written(
    project: Path, ask: Callable[..., Any], words: list[str], said: str
) -> None:
    """One message, exit code 2, no file."""
    before = sorted(project.rglob("*"))
    assert said in ask("new", *words, code=2)["error"]["message"]
    assert sorted(project.rglob("*")) == before


# lint


def test_lint_says_which_statement_locks_and_rewrites_what(project: Path, ask: Callable[..., Any]) -> None:
    """All folders of the project's registries are read, each once."""
    write(project / "migrations", _1_a="CREATE TABLE t (id int);")
    write(project / "customer_a" / "common" / "migrations", _2_b="ALTER TABLE t ALTER COLUMN id TYPE bigint;")
    found = ask("lint")
    assert found["migrations"] == 2
    (statement,) = [one for one in found["statements"] if one["version"] == "2"]
    assert (statement["table"], statement["lock"], statement["rewrites"]) == ("t", "ACCESS EXCLUSIVE", True)
    assert statement["place"] == "customer_a/common/migrations/2_b.sql:2:1"
    assert {hit["severity"] for hit in found["hits"]} <= {"warning", "notice"}


def test_lint_ends_with_2_for_what_cannot_work(project: Path, ask: Callable[..., Any]) -> None:
    """A statement that refuses transactions, a file that is no migration and a version that stands twice are all named."""
    write(project / "migrations", _1_a="VACUUM;", _x="SELECT 1;")
    write(project / "customer_a" / "migrations", _1_b="SELECT 1;")
    found = ask("lint", code=2)
    assert [hit["rule"] for hit in found["hits"] if hit["severity"] == "error"] == ["outside-transaction"]
    assert [finding["place"].partition(":")[0] for finding in found["findings"]] == [
        "migrations/x.sql",
        "customer_a/migrations/1_b.sql",
    ]


def test_lint_for_atomic_makes_an_error_of_what_cannot_be_prepared(project: Path, ask: Callable[..., Any]) -> None:
    """What is a remark otherwise."""
    file = write(project / "migrations", _1_a="LISTEN x;") / "1_a.sql"
    ask("lint", str(file))
    assert [hit["rule"] for hit in ask("lint", str(file), "--strategy", "atomic", code=2)["hits"]] == ["unpreparable"]


def test_lint_prints_a_table_for_people(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the place, the lock, and the remark under its rule's name."""
    write(project / "migrations", _1_a="DROP TABLE t;")
    assert run(cli, ["migration", "lint"]) == 0
    said = capsys.readouterr().out
    assert "migrations/1_a.sql:2:1" in said
    assert "ACCESS EXCLUSIVE" in said
    assert "1 migration: 1 warning" in said


# squash


def test_squash_folds_a_folder_up_to_a_version_into_one_file_that_stands_for_it(project: Path, ask: Callable[..., Any]) -> None:
    """The statements stay in order, each under its migration's name; down sections go, later migrations stay."""
    folder = write(
        project / "customer_a" / "migrations",
        _20260101000000_a="CREATE TABLE t (id int)\n-- migrate:down\nDROP TABLE t;",
        _20260102000000_b="-- migrate:up\n-- note: why\nALTER TABLE t ADD n int; -- end",
        _20260103000000_c="SELECT 3;",
    )
    found = ask("squash", "--without-catalog", "--through", "20260102000000", "--delete-files")
    assert found["path"] == "customer_a/migrations/20260102000001_squash.sql"
    assert (found["squashes"], found["deleted"]) == (["20260101000000", "20260102000000"], True)
    (squashed, later), findings = read_folder(folder, shown_as="m")
    assert findings == []
    assert squashed.squashes == ("20260101000000", "20260102000000")
    assert squashed.down is None
    assert squashed.up.text.split("\n") == [
        "-- 20260101000000_a",
        "CREATE TABLE t (id int);",
        "",
        "-- 20260102000000_b",
        "-- note: why",
        "ALTER TABLE t ADD n int;",
        "-- end",
        "",
    ]
    assert later.version == "20260103000000"


def test_a_squash_without_a_catalog_to_ask_needs_the_word_of_whoever_knows(project: Path, ask: Callable[..., Any]) -> None:
    """Nothing is written before; also where the catalog's server does not answer, which no word makes good if it does."""
    folder = write(project / "customer_a" / "migrations", _1_a="SELECT 1;", _2_b="SELECT 2;")
    before = sorted(folder.iterdir())
    refused = ask("squash", "--through", "2", "--delete-files", code=3)["error"]
    assert "customer_a/tenant_registry.yaml has no catalog yet" in refused["message"]
    assert "--without-catalog" in refused["hint"]
    environ = project / "customer_a" / "environ.yaml"
    environ.write_text("description: test\ndeployments:\n  main: postgresql://manor@127.0.0.1:1/postgres\n")
    assert "--without-catalog" in ask("squash", "--through", "2", "--delete-files", code=4)["error"]["hint"]
    assert sorted(folder.iterdir()) == before
    ask("squash", "--without-catalog", "--through", "2", "--delete-files")
    assert [path.name for path in folder.iterdir()] == ["3_squash.sql"]


def test_squash_removes_nothing_unless_told_and_lists_what_must_go(project: Path, ask: Callable[..., Any]) -> None:
    """Undo files of Flyway among it; until then the folder has findings."""
    folder = project / "customer_a" / "migrations"
    write(folder, _1_a="SELECT 1;", V2__b="--\nSELECT 2;", U2__b="--\nSELECT -2;")
    found = ask("squash", "--without-catalog", "--through", "2")
    names = [Path(name).name for name in found["files"]]
    assert names == ["1_a.sql", "U2__b.sql", "V2__b.sql"]
    assert len(read_folder(folder, shown_as="m")[1]) == 2
    for name in names:
        (folder / name).unlink()
    assert read_folder(folder, shown_as="m")[1] == []


def test_a_squash_can_be_squashed(project: Path, ask: Callable[..., Any]) -> None:
    """Its own header goes: the new file stands for it."""
    folder = write(
        project / "customer_a" / "migrations", _3_a="-- manor:squashes 1 2\n-- migrate:up\nSELECT 1;", _5_b="SELECT 5;"
    )
    ask("squash", "--without-catalog", "--through", "5", "--delete-files")
    ((migration,), findings) = read_folder(folder, shown_as="m")
    assert (migration.squashes, findings) == (("3", "5"), [])


@pytest.mark.parametrize(
    ("last", "following", "version"),
    [
        ("20261121093000", None, "20261121093001"),
        ("20261121093000", "20261121093001", "20261121093000.1"),
        ("001", "002", "001.1"),
        ("009", None, "010"),
        ("2.9", "2.9.1", "2.9.0.1"),
        ("2", "2.0.1", "2.0.0.1"),
    ],
)
def test_the_version_of_a_squash_lies_between_the_last_folded_and_the_next(
    last: str, following: str | None, version: str
) -> None:
    """Whatever kind of numbers there are."""
    assert squash_version(last, following) == version


@pytest.mark.parametrize(
    ("files", "through", "code", "said"),
    [
        ({"_1_a": "SELECT 1;"}, "1", 2, "nothing to fold"),
        ({"_1_a": "SELECT 1;"}, "9", 2, "there is no migration 9"),
        ({"_1_a": "SELECT 1;", "_2_b": "-- migrate:up transaction:false\nVACUUM;"}, "2", 3, "outside transactions"),
        ({"_1_a": "SELECT 1;", "_2_b": "VACUUM;"}, "2", 2, "refuses to run in a transaction"),
    ],
)
def test_what_one_transaction_cannot_do_is_not_squashed(
    project: Path, ask: Callable[..., Any], files: dict[str, str], through: str, code: int, said: str
) -> None:
    """Nothing is written then."""
    folder = write(project / "customer_a" / "migrations", **files)
    before = sorted(folder.iterdir())
    assert said in ask("squash", "--without-catalog", "--through", through, "--delete-files", code=code)["error"]["message"]
    assert sorted(folder.iterdir()) == before


def test_migrations_of_another_folder_may_not_stand_in_between(project: Path, ask: Callable[..., Any]) -> None:
    """They would come before or after all that is folded."""
    write(project / "migrations", _2_b="SELECT 2;")
    write(project / "customer_a" / "migrations", _1_a="SELECT 1;", _3_c="SELECT 3;")
    assert "stands between 1 and 3" in ask("squash", "--without-catalog", "--through", "3", code=3)["error"]["message"]


def test_a_squash_moves_the_baseline_and_may_not_cut_it(
    project: Path, ask: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """What the templates hold already is not run on new databases as a part of the squash."""
    folder = write(project / "customer_a" / "migrations", _1_a="SELECT 1;", _2_b="SELECT 2;", _3_c="SELECT 3;")
    registry = project / "customer_a" / "tenant_registry.yaml"
    registry.write_text(registry.read_text() + 'migration_config:\n  baseline: "2"\n')
    assert "squash through that version" in ask("squash", "--without-catalog", "--through", "3", code=3)["error"]["hint"]
    assert run(cli, ["migration", "squash", "--without-catalog", "--through", "2", "--delete-files"]) == 0
    assert 'baseline: "2.1" under migration_config in customer_a/tenant_registry.yaml' in capsys.readouterr().out
    assert sorted(path.name for path in folder.iterdir()) == ["2.1_squash.sql", "3_c.sql"]
