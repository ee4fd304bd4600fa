"""Folders of migrations on disk, and several of them as one chain."""

from __future__ import annotations

import os
from pathlib import Path

from manor.control.migrate.folder import merge_folders, read_folder


def write(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    for name in names:
        (folder / name).write_text("-- migrate:up\nSELECT 1;\n")
    return folder


def test_migrations_are_read_in_the_order_of_their_versions(tmp_path: Path) -> None:
    folder = write(tmp_path / "migrations", "10_c.sql", "9_b.sql", "V1_2__a.sql")
    migrations, findings = read_folder(folder, shown_as="migrations")
    assert findings == []
    assert [m.version for m in migrations] == ["1.2", "9", "10"]
    assert str(migrations[0].place) == "migrations/V1_2__a.sql:1:1"


def test_other_files_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    folder = write(tmp_path, "1_a.sql", "README.md", ".2_hidden.sql", "~$3_x.sql")
    write(folder / "4_folder.sql")
    migrations, findings = read_folder(folder, shown_as="m")
    assert ([m.version for m in migrations], findings) == (["1"], [])


def test_no_folder_means_no_migrations(tmp_path: Path) -> None:
    assert read_folder(tmp_path / "missing", shown_as="m") == ((), [])


def test_one_bad_file_does_not_hide_the_others(tmp_path: Path) -> None:
    folder = write(tmp_path, "1_a.sql", "x.sql", "3_c.sql")
    (folder / "2_b.sql").write_bytes(b"\xff")
    migrations, findings = read_folder(folder, shown_as="m")
    assert [m.version for m in migrations] == ["1", "3"]
    assert [f.place.file for f in findings] == ["m/2_b.sql", "m/x.sql"]


def test_a_version_twice_in_one_folder_is_a_finding(tmp_path: Path) -> None:
    _, (finding,) = read_folder(write(tmp_path, "1_a.sql", "001_b.sql"), shown_as="m")
    assert "stands twice" in finding.message


def test_links_may_lead_elsewhere_in_the_project_but_not_out_of_it(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside", "1_a.sql", "2_b.sql")
    project = tmp_path / "project"
    shared = write(project / "shared", "3_c.sql")
    folder = write(project / "migrations")
    (folder / "1_a.sql").symlink_to(outside / "1_a.sql")
    (folder / "3_c.sql").symlink_to(shared / "3_c.sql")
    migrations, (finding,) = read_folder(folder, shown_as="migrations", project=project)
    assert [m.version for m in migrations] == ["3"]
    assert str(finding).startswith("migrations/1_a.sql: 1_a.sql is outside the project")
    (project / "linked").symlink_to(outside)
    migrations, (finding,) = read_folder(project / "linked", shown_as="linked", project=project)
    assert migrations == ()
    assert "outside the project" in finding.message


def test_a_pipe_or_a_link_to_nowhere_is_a_finding(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "1_a.sql")
    (tmp_path / "2_b.sql").symlink_to(tmp_path / "gone")
    _, findings = read_folder(tmp_path, shown_as="m")
    assert [f.place.file for f in findings] == ["m/1_a.sql", "m/2_b.sql"]


def test_a_file_in_place_of_the_folder_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "migrations").write_text("")
    _, (finding,) = read_folder(tmp_path / "migrations", shown_as="migrations")
    assert finding.message.startswith("cannot read the folder")


def test_several_folders_are_one_chain_and_a_version_in_two_is_named_with_both(tmp_path: Path) -> None:
    near, _ = read_folder(write(tmp_path / "near", "1_a.sql", "3_c.sql"), shown_as="near")
    far, _ = read_folder(write(tmp_path / "far", "2_b.sql", "03_c.sql"), shown_as="far")
    chain, (finding,) = merge_folders([near, far])
    assert [m.version for m in chain] == ["1", "2", "3", "03"]
    assert str(finding).startswith("far/03_c.sql:1:1: version 03 stands twice: also in near/3_c.sql")
    assert merge_folders([]) == ((), [])
