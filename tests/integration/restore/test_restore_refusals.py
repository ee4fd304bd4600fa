"""What must not become a tenant's database: refused, with the tenant's own untouched and nothing left behind."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from restore_fixtures import build

from manor.control.backup.manifest import Manifest

MANIFEST = ".manifest.json"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, wiped_server: Callable[[], str]) -> Any:
    """One fleet for all: what is refused changes nothing."""
    made = build(tmp_path_factory.mktemp("refusals") / "project", wiped_server())
    made.write_entries(1, "before")
    return made


@pytest.fixture(scope="module")
def backups(fleet: Any) -> dict[str, Path]:
    """One backup of each form."""
    return {"dump": fleet.back_up(1), "sql": fleet.back_up(1, "--plain"), "age": fleet.back_up(1, "--encrypt")}


@pytest.fixture
def copied(backups: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a backup, its manifest beside it, that a test may spoil."""

    def copy(form: str) -> Path:
        for path in (backups[form], manifest_of(backups[form])):
            shutil.copy(path, tmp_path)
        return tmp_path / backups[form].name

    return copy


@pytest.fixture(autouse=True)
def _nothing_is_left(fleet: Any) -> Iterator[None]:
    yield
    fleet.check()
    assert fleet.entries(1) == ["before"]


def manifest_of(dump: Path) -> Path:
    return dump.with_name(dump.name.partition(".")[0] + MANIFEST)


def flip(path: Path, position: int) -> None:
    """Turn one bit of a file around; a negative position counts from the end."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def forge(dump: Path, content: bytes | None = None, *, recorded: bool = False, **changes: Any) -> Path:
    """Write a manifest that is in itself right about ``content``, otherwise with ``changes``; the dump's path then. Unless
    it is to be the ``recorded`` one, its id is one that the catalog has not heard of."""
    made = Manifest.from_json(manifest_of(dump).read_bytes())
    if content is not None:
        dump.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        file = dataclasses.replace(made.dump, bytes=len(content), sha256=digest, plain_sha256=digest)
        made = dataclasses.replace(made, dump=file)
    if not recorded:
        manifest_of(dump).unlink()
        name = f"{made.id[:-8]}{'0' * 8}"
        dump = dump.rename(dump.with_name(dump.name.replace(made.id, name)))
        made = dataclasses.replace(made, id=name, dump=dataclasses.replace(made.dump, key=dump.name))
    manifest_of(dump).write_bytes(dataclasses.replace(made, **changes).to_json())
    return dump


@pytest.mark.parametrize("form", ["dump", "sql", "age"])
def test_a_file_that_was_cut_is_refused(fleet: Any, copied: Callable[[str], Path], form: str) -> None:
    """One byte less than the manifest says."""
    backup = copied(form)
    backup.write_bytes(backup.read_bytes()[:-1])
    assert "its manifest says" in fleet.refused(1, "--backup-file", backup, code=1)


@pytest.mark.parametrize("position", [7, -900, -1], ids=["header", "rows", "end"])
@pytest.mark.parametrize("form", ["dump", "sql", "age"])
def test_a_file_with_one_bit_altered_is_refused(fleet: Any, copied: Callable[[str], Path], form: str, position: int) -> None:
    """Wherever the bit is: whatever it leads to, the digest is what is told."""
    backup = copied(form)
    flip(backup, position)
    assert fleet.refused(1, "--backup-file", backup, code=1).startswith("[corrupt]")


def test_a_manifest_with_one_bit_altered_is_refused(fleet: Any, copied: Callable[[str], Path]) -> None:
    """Its digest proves it."""
    backup = copied("dump")
    flip(manifest_of(backup), 200)
    assert fleet.refused(1, "--backup-file", backup, code=1).startswith("[corrupt]")


def test_a_manifest_of_another_file_is_refused(fleet: Any, copied: Callable[[str], Path], backups: dict[str, Path]) -> None:
    """Under a name that fits, it still names its own file."""
    backup = copied("dump")
    shutil.copy(manifest_of(backups["sql"]), manifest_of(backup))
    assert "is the manifest of" in fleet.refused(1, "--backup-file", backup, code=1)


def test_a_manifest_without_its_file_is_refused(fleet: Any, copied: Callable[[str], Path]) -> None:
    """It is said what is missing."""
    backup = copied("dump")
    backup.unlink()
    assert "only its manifest is" in fleet.refused(1, "--backup-file", backup, code=2)


def test_a_dump_of_a_newer_server_is_refused(fleet: Any, copied: Callable[[str], Path]) -> None:
    """An older server would load some of it, perhaps."""
    backup = copied("dump")
    made = Manifest.from_json(manifest_of(backup).read_bytes())
    backup = forge(backup, photograph=dataclasses.replace(made.photograph, server_version="99.1"))
    assert "an older server cannot load it" in fleet.refused(1, "--backup-file", backup, code=2)


def test_a_backup_of_another_tenant_is_refused(fleet: Any, backups: dict[str, Path]) -> None:
    """The word that allows it is told."""
    said = fleet.refused(2, "--backup-file", backups["dump"], code=3)
    assert "is a backup of tenant acme/tenants/001, not of acme/tenants/002" in said
    assert "--as" in said


def test_a_dump_that_holds_other_rows_than_its_manifest_says_is_refused(fleet: Any, copied: Callable[[str], Path]) -> None:
    """Even where every digest is right."""
    backup = copied("sql")
    backup = forge(backup, backup.read_bytes().replace(b"\t'before'", b"").replace(b"1\tbefore\n", b""))
    assert "table public.ledger holds 0 rows, not 1 row" in fleet.refused(1, "--backup-file", backup, code=1)


def test_a_manifest_that_is_not_the_recorded_one_is_refused_wherever_it_lies(fleet: Any, copied: Callable[[str], Path]) -> None:
    """It agrees with its file and with itself; the catalog knows better."""
    dump = copied("sql")
    forge(dump, dump.read_bytes().replace(b"before", b"forged"), recorded=True)
    for words in ([], ["--dry-run"]):
        said = fleet.refused(1, "--backup-file", dump, *words, code=1)
        assert "[corrupt]" in said
        assert "is not the manifest that was recorded when the backup was made" in said


def test_a_missing_extension_is_named(fleet: Any, copied: Callable[[str], Path]) -> None:
    """By the server's own words."""
    backup = copied("sql")
    backup = forge(backup, b"CREATE EXTENSION stars_and_moons;\n" + backup.read_bytes())
    assert "stars_and_moons" in fleet.refused(1, "--backup-file", backup, code=1)


def test_a_dump_without_manifest_needs_a_word(fleet: Any, backups: dict[str, Path], tmp_path: Path) -> None:
    """Nothing says what it holds."""
    bare = shutil.copy(backups["dump"], tmp_path / "bare.dump")
    assert "--without-manifest" in fleet.refused(1, "--backup-file", bare, code=3)


@pytest.mark.parametrize("form", ["dump", "sql"])
def test_a_dump_without_manifest_of_another_tenant_is_refused(
    fleet: Any, backups: dict[str, Path], tmp_path: Path, form: str
) -> None:
    """Its isolated columns tell whose it is."""
    bare = shutil.copy(backups[form], tmp_path / f"bare.{form}")
    said = fleet.refused(2, "--backup-file", bare, "--without-manifest", code=1)
    assert "it holds another tenant's value where acme/tenants/002's should be" in said


def test_a_dump_without_manifest_of_an_unknown_schema_is_refused(fleet: Any, tmp_path: Path) -> None:
    """It must be one that tenants of the template have had."""
    (tmp_path / "foreign.sql").write_text("CREATE TABLE elsewhere (id integer);\n", encoding="utf-8")
    said = fleet.refused(1, "--backup-file", tmp_path / "foreign.sql", "--without-manifest", code=1)
    assert "has a schema that no tenant of template small has had" in said


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", bytes(range(256)) * 40, gzip.compress(b"SELECT 1;")],
    ids=["nothing", "white", "bytes", "gzip"],
)
def test_a_file_that_is_no_dump_is_called_so(fleet: Any, tmp_path: Path, content: bytes) -> None:
    """No program is asked to load it."""
    (tmp_path / "some.dump").write_bytes(content)
    for words in ([], ["--dry-run"]):
        said = fleet.refused(1, "--backup-file", tmp_path / "some.dump", "--without-manifest", *words, code=2)
        assert "some.dump is no dump" in said


def test_a_file_that_is_not_there_is_named(fleet: Any, tmp_path: Path) -> None:
    """With where to look for others."""
    assert "manor backup list" in fleet.refused(1, "--backup-file", tmp_path / "no.dump", code=2)


def test_a_prepared_transaction_is_in_the_way(fleet: Any, backups: dict[str, Path]) -> None:
    """It would go on in the database that is kept."""
    with psycopg.connect(fleet.url, dbname=fleet.databases[0], autocommit=True) as connection:
        connection.execute("BEGIN; CREATE TABLE doubtful (id integer); PREPARE TRANSACTION 'doubt'")
        try:
            assert "(doubt)" in fleet.refused(1, "--backup-file", backups["dump"], code=3)
        finally:
            connection.execute("ROLLBACK PREPARED 'doubt'")


def test_a_suspended_tenant_is_not_restored(fleet: Any, backups: dict[str, Path]) -> None:
    """Nothing happens behind its back."""
    fleet.ask("UPDATE manor.tenants SET is_active = false WHERE short_id = '001'", "manor_catalog")
    try:
        assert "is suspended" in fleet.restore(1, "--backup-file", backups["dump"], code=3)["error"]["message"]
    finally:
        fleet.ask("UPDATE manor.tenants SET is_active = true WHERE short_id = '001'", "manor_catalog")


def test_nothing_is_put_back_where_nothing_was_restored(fleet: Any) -> None:
    """It is said so."""
    assert "nothing is kept of acme/tenants/001" in fleet.refused(1, "--undo", code=3)


def test_words_that_do_not_go_together_are_misuse(fleet: Any, backups: dict[str, Path]) -> None:
    """Exit code 2, and nothing is begun."""
    fleet.restore(1, "--backup-file", backups["dump"], "--undo", code=2)
    fleet.restore(1, code=2)
    fleet.restore(1, "--backup-file", backups["dump"], "--discard-writes", code=2)
    fleet.restore(1, "--backup-file", backups["dump"], "--migrate", "--keep-head", code=2)


def test_a_dry_run_says_what_it_would_do(fleet: Any, backups: dict[str, Path]) -> None:
    """Rows, moment and version, and nothing is changed."""
    before = fleet.untouched(1)
    document = fleet.restore(1, "--backup-file", backups["dump"], "--dry-run")
    assert document["operation"]["dry_run"] is True
    assert document["outcomes"][0]["facts"]["rows"] == 3
    assert fleet.untouched(1) == before


@pytest.mark.parametrize("command", [r"\connect {other}", r"\! touch {file}", r"\unrestrict guessed"])
def test_a_dump_that_gives_psql_commands_is_refused(fleet: Any, tmp_path: Path, backups: dict[str, Path], command: str) -> None:
    """Nothing gets into another tenant's database, and no program runs."""
    before, touched = fleet.entries(2), tmp_path / "touched"
    dump = tmp_path / "by-hand.sql"
    line = command.format(other=fleet.databases[1], file=touched)
    dump.write_text(f"{backups['sql'].read_text('utf-8')}\n{line}\nDELETE FROM ledger;\n", "utf-8")
    said = fleet.refused(1, "--backup-file", dump, "--without-manifest", code=1)
    assert "take out psql's own commands" in said
    assert fleet.entries(2) == before
    assert not touched.exists()


def test_a_tenant_that_is_being_erased_is_called_so(fleet: Any, backups: dict[str, Path]) -> None:
    """Resuming it would be the wrong advice."""
    change = "UPDATE manor.databases SET state = '{}' WHERE database = '" + fleet.databases[0] + "'"
    fleet.ask(change.format("erasing"), "manor_catalog")
    try:
        said = fleet.refused(1, "--backup-file", backups["dump"], code=3)
        assert "is being erased" in said
        assert "resume" not in said
    finally:
        fleet.ask(change.format("ready"), "manor_catalog")
