"""What stands in a template folder under almost the right name, or cannot be read, is said and never passed over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

TABLE = "column_name: id, column_type: INT, primary_key: 1\n    column_name: name, column_type: TEXT"
SHOP = "customer_a/shop"
ENDINGS = "data files end in .dat, .csv, .xlsx, their settings in .yaml"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("main@t.DAT", "did you mean 'main@t.dat'?"),
        ("main@t.Csv", "did you mean 'main@t.csv'?"),
        ("main@t.xls", "did you mean 'main@t.xlsx'?"),
        ("main@t#b.yml", "did you mean 'main@t#b.yaml'?"),
        ("main@t.json", "name it <schema>@<table>.dat or <schema>@<table>#<segment>.dat"),
        ("main@t.txt", "name it <schema>@<table>.dat or <schema>@<table>#<segment>.dat"),
        ("main@t", "name it <schema>@<table>.dat or <schema>@<table>#<segment>.dat"),
        ("v1.main@t", "name it <schema>@<table>.dat or <schema>@<table>#<segment>.dat"),
        ("main@t.dat.bak", "name it <schema>@<table>.dat or <schema>@<table>#<segment>.dat"),
    ],
)
def test_a_name_that_is_almost_a_data_files_is_named(project, name, hint) -> None:
    """Its rows would be missed."""
    project.tables({"t": TABLE})
    project.template({name: "- {id: 1}\n"})
    assert project.findings() == [f"{SHOP}/{name}: {name} is not read: {ENDINGS} ({hint})"]


@pytest.mark.parametrize("name", ["main@t@u.csv", "main@t#a#b.dat", "@t.yaml", "users.dat"])
def test_a_name_with_the_right_ending_and_the_wrong_parts_is_named(project, name) -> None:
    """Every ending, and the files of a base as well."""
    project.tables({"t": TABLE})
    project.template({name: ""}, "ground")
    project.template({"_mapping.yaml": "base: ground\ninstances: [main]\n"})
    hint = "name it <schema>@<table>.dat or <schema>@<table>#<segment>.dat"
    assert project.findings() == [f"customer_a/ground/{name}: {name} is not the name of a data file ({hint})"]


def test_files_that_nobody_means_for_data_are_left_alone(project) -> None:
    """Notes, copies that editors leave, and DBGear's own."""
    names = ("README.md", "users.csv", "main@t.dat~", "#main@t.dat#", ".main@t.dat.swp", "~$main@t.xlsx", "_x@t.json")
    project.tables({"t": TABLE})
    project.template(dict.fromkeys(names, "anything"))
    project.loaded()


def test_a_folder_in_a_data_files_place_is_named(project) -> None:
    """It is not a file."""
    project.tables({"t": TABLE})
    project.template({"main@t.dat/x": ""})
    hint = "put a plain file in its place, or take it away"
    assert project.findings() == [f"{SHOP}/main@t.dat: main@t.dat is a folder, not a file ({hint})"]


@pytest.mark.parametrize("name", ["main@t.dat", "main@t.csv", "main@t.xlsx", "main@t.yaml", "schema.yaml", "schema.sql"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_named_and_never_opened(project, name, linked) -> None:
    """Opening it would wait forever."""
    project.tables({"t": TABLE})
    project.template({})
    path = project.root / SHOP / name
    os.mkfifo(project.root / "pipe" if linked else path)
    if linked:
        path.symlink_to(project.root / "pipe")
    (finding,) = project.findings()
    assert finding.startswith(f"{SHOP}/{name}: {name} is a pipe or a device, not a file")


@pytest.mark.parametrize(("refused", "entry"), [("scandir", ""), ("lstat", "/_mapping.yaml")])
def test_a_folder_without_permission_is_named(project, monkeypatch, refused, entry) -> None:
    """Listing and entering are two permissions; both are needed."""
    project.tables({"t": TABLE})
    project.template({})
    owner = os if refused == "scandir" else Path
    real = getattr(owner, refused)

    def refuse(path):
        if str(path) == f"{project.root / SHOP}{entry}":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(owner, refused, refuse)
    assert project.findings() == [
        f"{SHOP}: cannot read the folder: Permission denied (let the user that runs Manor read and enter it)"
    ]
    assert project.load() is None
