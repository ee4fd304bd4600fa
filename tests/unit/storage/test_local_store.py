"""A folder as a store."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from manor.errors import Code, ConflictError, ManorError, NotFoundError
from manor.storage import Store, open_store
from manor.testing.storage import LARGE_BYTES, StoreSuite, keys_of, pieces

WRITER = """
import asyncio, sys
from manor.storage import open_store

async def chunks():
    for _ in range(5):
        yield bytes(1024 * 1024)
    print("under way", flush=True)
    sys.stdin.read()

asyncio.run(open_store(sys.argv[1]).put("killed/object", chunks()))
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "a store")


class TestLocalStore(StoreSuite):
    """The suite, in a folder."""


class TestMemoryStore(StoreSuite):
    """The suite, in memory."""

    @pytest.fixture
    def store(self) -> Store:
        return open_store("memory://")

    test_large_objects_pass_in_little_memory = None  # it is memory that they are stored in


def left_over(store: Store) -> list[Path]:
    folder = store.location.folder
    assert folder is not None
    return sorted((folder / ".incoming").glob("*"))


def open_handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def writing(store: Store) -> subprocess.Popen[str]:
    """A process that is in the middle of a put, and stays there until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, store.display()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "under way\n"
    return process


async def test_a_killed_writer_leaves_no_object_and_its_leftover_is_swept(store: Store) -> None:
    """``kill -9`` in the middle of a put."""
    with writing(store) as process:
        process.send_signal(signal.SIGKILL)
    assert await keys_of(store.list()) == []
    assert await store.head("killed/object") is None
    assert len(left_over(store)) == 1
    assert await store.sweep() == 1
    assert left_over(store) == []


async def test_sweeping_leaves_a_living_writer_alone(store: Store) -> None:
    """Its object is there in the end."""
    with writing(store) as process:
        assert await store.sweep() == 0
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0
    assert await keys_of(store.list()) == ["killed/object"]
    assert left_over(store) == []


async def test_files_and_folders_are_for_their_owner_only(store: Store) -> None:
    """Whatever the process's mask."""
    before = os.umask(0)
    try:
        await store.write("a/b/c", b"secret")
    finally:
        os.umask(before)
    path = store.local_path("a/b/c")
    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (path.parent, path.parent.parent, path.parents[2], path.parents[2] / ".incoming"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


async def test_file_and_folders_are_synced_before_put_returns(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content before its name, the name before the answer."""
    synced: list[str] = []
    real = os.fsync

    def noting(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        real(handle)

    monkeypatch.setattr(os, "fsync", noting)
    await store.write("a/b", b"x")
    root = store.display()
    content = next(name for name in synced if ".incoming/" in name)
    assert synced.index(content) < synced.index(f"{root}/a")
    assert {str(Path(root).parent), root, f"{root}/a"} <= set(synced)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["/bin/mount", "-t", "tmpfs", "-o", "size=8m,mode=755", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield folder
    subprocess.run(["/bin/umount", str(folder)], check=True)


async def test_a_full_disk_is_said_and_nothing_is_left(small_disk: Path) -> None:
    """The space is free again, and the next object that fits is stored."""
    store = open_store(small_disk / "store")
    with pytest.raises(ManorError, match=r"big/object.*disk is full") as full:
        await store.put("big/object", pieces(LARGE_BYTES))
    assert full.value.code is Code.EXHAUSTED
    assert full.value.hint
    assert left_over(store) == []
    assert await keys_of(store.list()) == []
    await store.put("fits", pieces(4 * 1024 * 1024))
    assert await keys_of(store.list()) == ["fits"]


async def test_an_object_that_appears_meanwhile_is_not_overwritten(store: Store) -> None:
    """Of two writers the one who is finished first has the key."""

    async def overtaken() -> AsyncIterator[bytes]:
        yield b"mine"
        await store.write("key", b"theirs")

    with pytest.raises(ConflictError, match="key is there already"):
        await store.put("key", overtaken())
    assert await store.read("key") == b"theirs"
    assert left_over(store) == []


async def test_links_are_no_objects(store: Store, tmp_path: Path) -> None:
    """A link in the folder does not lead a reader out of it."""
    outside = tmp_path / "outside"
    outside.write_text("private", encoding="utf-8")
    await store.write("a/real", b"x")
    link = store.local_path("a/link")
    assert link is not None
    link.symlink_to(outside)
    assert await keys_of(store.list()) == ["a/real"]
    assert await store.head("a/link") is None
    with pytest.raises(NotFoundError):
        await store.read("a/link")


async def test_a_key_above_or_below_another_one_is_refused(store: Store) -> None:
    """A folder cannot hold both; the cause is said."""
    await store.write("a/b", b"x")
    await store.write("c", b"x")
    with pytest.raises(ConflictError):
        await store.write("a", b"y")
    with pytest.raises(ConflictError):
        await store.write("c/d", b"y")
    with pytest.raises(ConflictError):
        await store.write("a", b"y", overwrite=True)
    assert await keys_of(store.list()) == ["a/b", "c"]
    assert left_over(store) == []


async def test_objects_and_folders_vanish_and_come_back_at_the_same_time(store: Store) -> None:
    """Whoever empties a folder does not make a writer in it fail."""

    async def again(number: int) -> None:
        for _ in range(30):
            await store.write(f"same/folder/{number}", b"x")
            await store.delete([f"same/folder/{number}"])

    await asyncio.gather(*(again(number) for number in range(4)))
    assert await keys_of(store.list()) == []
    assert not (Path(store.display()) / "same").exists()


async def test_a_folder_that_must_not_be_written_is_denied(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, therefore the refusal is played."""

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("manor.storage.local._make_folder", refused)
    with pytest.raises(ManorError, match="a/b") as denied:
        await store.write("a/b", b"x")
    assert denied.value.code is Code.DENIED


async def test_a_file_system_without_links_refuses_a_taken_key_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some network file systems are."""

    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    await store.write("key", b"first")

    async def overtaken() -> AsyncIterator[bytes]:
        yield b"mine"
        await store.write("other", b"theirs")

    with pytest.raises(ConflictError):
        await store.put("other", overtaken())
    assert (await store.read("key"), await store.read("other")) == (b"first", b"theirs")
    assert left_over(store) == []


async def test_readers_that_stop_early_close_their_file(store: Store) -> None:
    """No handle stays open."""
    await store.put("key", pieces(LARGE_BYTES))
    before = open_handles()
    for _ in range(5):
        reader = store.get("key")
        assert await anext(reader)
        await reader.aclose()  # type: ignore[attr-defined]
    assert open_handles() == before
