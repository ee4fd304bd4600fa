"""What the YAML reader opens: files that end, and no others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from manor import yaml_reader
from manor.errors import InputError
from manor.yaml_reader import read_yaml


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused(device: str) -> None:
    """It has no size, and may never end."""
    with pytest.raises(InputError, match="not a regular file") as caught:
        read_yaml(Path(device))
    assert caught.value.hint


def test_a_pipe_without_a_writer_is_not_waited_for(tmp_path: Path) -> None:
    """Opening it would hang."""
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(InputError, match="not a regular file"):
        read_yaml(tmp_path / "pipe.yaml")


def test_a_folder_is_told_as_one(tmp_path: Path) -> None:
    """In the system's words."""
    with pytest.raises(InputError, match="cannot read the file: Is a directory"):
        read_yaml(tmp_path)


def test_a_file_may_have_as_many_bytes_as_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not one more."""
    monkeypatch.setattr(yaml_reader, "MAX_FILE_BYTES", 8)
    file = tmp_path / "a.yaml"
    file.write_text("abcdefgh", encoding="utf-8")
    assert read_yaml(file).value == "abcdefgh"
    file.write_text("abcdefghi", encoding="utf-8")
    with pytest.raises(InputError, match="9 bytes, 8 are allowed"):
        read_yaml(file)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_file_that_does_not_tell_its_size_is_read_no_further_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of /proc say 0 and have more."""
    monkeypatch.setattr(yaml_reader, "MAX_FILE_BYTES", 4)
    with pytest.raises(InputError, match="5 bytes, 4 are allowed"):
        read_yaml(Path("/proc/self/stat"))
