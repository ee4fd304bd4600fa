"""A connection URL that cannot be read: refused by name, and never repeated, because passwords stand in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from manor.cli.failures import run
from manor.cli.main import cli
from manor.control.engines.postgres.session import Sessions
from manor.errors import InputError


@pytest.mark.parametrize("password", ["se cret", "secret%zz"])
def test_libpqs_complaint_about_a_url_is_not_passed_on(password: str) -> None:
    """libpq quotes what it cannot read; the error names the server instead."""
    with pytest.raises(InputError, match="server main") as found:
        Sessions("main", f"postgresql://admin:{password}@host/", application="x", budget=2, connect_timeout=1)
    assert "cret" not in f"{found.value} {found.value.hint} {found.value.__cause__}"


def test_a_blank_in_a_password_is_found_where_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line with the place in environ.yaml and how to write it; the password stays out of it."""
    monkeypatch.setenv("SECRET", "se cret")
    (tmp_path / "environ.yaml").write_text('deployments:\n  main: "postgresql://a:${SECRET}@host/"\n', encoding="utf-8")
    assert run(cli, ["--project", str(tmp_path), "doctor"]) == 2
    said = capsys.readouterr().err
    assert "environ.yaml:2:9" in said
    assert "percent-encoded" in said
    assert "cret" not in said
