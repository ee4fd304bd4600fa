"""A table that changes while somebody works on it is never taken for what it is not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from manor.control.registry.sheets import CSVTenantProvider
from manor.errors import ConflictError, InputError
from manor.testing.sources import walked

Write = Callable[..., CSVTenantProvider]
HEADER = "tenant_id,customer_code,tier\n"
ONE = HEADER + "1,a,basic\n2,b,basic\n"


async def ids(provider: CSVTenantProvider) -> list[str]:
    return [info.tenant_id for info in await walked(provider)]


async def test_a_held_table_is_read_again_when_it_changed(sheet: Write) -> None:
    """And not while it did not."""
    provider = sheet(ONE)
    assert await provider.get_tenant_count() == 2
    held = provider._held
    assert await provider.get_tenant_count() == 2
    assert provider._held is held
    provider.csv_path.write_text(ONE + "3,c,basic\n")
    assert await provider.get_tenant_count() == 3
    replace(provider.csv_path, HEADER)
    assert await provider.get_tenant_count() == 0


def replace(path: Path, text: str) -> None:
    """As careful programs write."""
    aside = path.with_name("aside")
    aside.write_text(text)
    aside.replace(path)


@pytest.mark.parametrize("most_held", [-1, 100])
async def test_without_watching_the_first_version_stays(sheet: Write, monkeypatch: pytest.MonkeyPatch, most_held: int) -> None:
    """A table that cannot be held says that it is another one."""
    monkeypatch.setattr("manor.control.registry.sheets.provider.MOST_HELD", most_held)
    provider = sheet(ONE, watch_changes=False)
    assert await provider.get_tenant_count() == 2
    provider.csv_path.write_text(ONE + "3,c,basic\n")
    if most_held > 0:
        assert await provider.get_tenant_count() == 2
    else:
        with pytest.raises(ConflictError, match="changed"):
            await provider.get_tenant_count()


@pytest.mark.parametrize("change", ["appended", "replaced", "cut", "removed"])
async def test_a_walk_over_a_table_that_changes_does_not_end_well(sheet: Write, change: str) -> None:
    """Whoever reads it to its end without an error has seen one whole version."""
    provider = sheet(HEADER + "".join(f"{number},c,basic\n" for number in range(5_000)))
    walk = provider.iter_tenants()
    await anext(walk)
    changed(provider.csv_path, change)
    with pytest.raises((ConflictError, InputError)):
        [info async for info in walk]


def changed(path: Path, change: str) -> None:
    if change == "appended":
        with path.open("a") as file:
            file.write("x,c,basic\n")
    elif change == "replaced":
        replace(path, ONE)
    elif change == "cut":
        os.truncate(path, 20_000)
    else:
        path.unlink()


class Writing:
    """Somebody who writes a file bit by bit, whenever the source looks at the clock: the file's age is nothing until all is
    there."""

    def __init__(self, path: Path, *parts: str) -> None:
        self.path = path
        self.parts = list(parts)

    def __call__(self) -> float:
        modified = self.path.stat().st_mtime
        if self.parts:
            with self.path.open("a") as file:
                file.write(self.parts.pop(0))
            return modified
        return modified + 60


async def test_a_table_that_is_just_being_written_is_waited_for(sheet: Write) -> None:
    """Half of it would look like the whole: it ends with a whole row."""
    provider = sheet(HEADER, settle_seconds=0.001)
    provider._now = Writing(provider.csv_path, "1,a,basic\n", "2,b,basic\n", "3,", "c,basic\n")
    assert await ids(provider) == ["1", "2", "3"]
    provider._now = Writing(provider.csv_path, "4,d,basic\n", "5,e,basic\n")
    assert await provider.get_tenant_count() == 5


async def test_a_table_that_is_written_all_the_time_is_said(sheet: Write) -> None:
    """Waiting has an end."""
    provider = sheet(ONE, settle_seconds=0.001)
    times = iter(range(1_000))
    modified = provider.csv_path.stat().st_mtime
    provider._now = lambda: float(next(times))

    def always_young() -> Any:
        os.utime(provider.csv_path, (modified, float(next(times))))
        return type(provider).version(provider)

    provider.version = always_young  # type: ignore[method-assign]
    provider.settle_seconds = 2.0
    original, asyncio.sleep = asyncio.sleep, _at_once  # type: ignore[assignment]
    try:
        with pytest.raises(ConflictError, match="being written"):
            await provider.get_tenant_count()
    finally:
        asyncio.sleep = original


async def _at_once(_: float) -> None:
    return None


async def test_a_time_to_come_is_another_machines_clock(sheet: Write) -> None:
    """It is not waited for."""
    provider = sheet(ONE, settle_seconds=10)
    ahead = provider.csv_path.stat().st_mtime + 3_600
    os.utime(provider.csv_path, (ahead, ahead))
    assert await provider.get_tenant_count() == 2


# Changes, one by one


@pytest.fixture
async def watched(sheet: Write) -> AsyncIterator[tuple[CSVTenantProvider, AsyncIterator[Any]]]:
    provider = sheet(ONE, settle_seconds=0.05)
    async with aclosing(provider.changes()) as changes:  # type: ignore[type-var]
        assert (await anext(changes)).added == ("1", "2")
        yield provider, changes


async def following(changes: AsyncIterator[Any], act: Callable[[], object]) -> Any:
    """The change that comes of what is done once the watch is on."""
    coming = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    act()
    return await asyncio.wait_for(coming, 30)


async def test_changes_are_told_tenant_by_tenant(watched: Any) -> None:
    """Written in place or put in the old one's place."""
    provider, changes = watched
    change = await following(changes, lambda: provider.csv_path.write_text(HEADER + "2,b,premium\n3,c,basic\n"))
    assert (change.added, change.changed, change.removed, change.error) == (("3",), ("2",), ("1",), None)
    change = await following(changes, lambda: replace(provider.csv_path, ONE))
    assert (change.added, change.changed, change.removed) == (("1",), ("2",), ("3",))


async def test_a_version_that_is_wrong_is_told_with_its_error(watched: Any) -> None:
    """The next good one is compared with the last good one."""
    provider, changes = watched
    change = await following(changes, lambda: provider.csv_path.write_text(HEADER + "1,,basic\n"))
    assert "customer_code" in str(change.error)
    change = await following(changes, lambda: provider.csv_path.unlink())
    assert "tenants.csv" in str(change.error)
    change = await following(changes, lambda: provider.csv_path.write_text(ONE + "3,c,basic\n"))
    assert (change.added, change.changed, change.removed, change.error) == (("3",), (), (), None)


async def test_a_version_that_changes_no_tenant_is_passed_over(watched: Any) -> None:
    """Rows in another order, and a file that was only touched."""
    provider, changes = watched

    coming = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(0)
    replace(provider.csv_path, HEADER + "2,b,basic\n1,a,basic\n")
    provider.csv_path.with_name("other.csv").write_text("x")
    done, _ = await asyncio.wait([coming], timeout=0.5)
    assert not done
    provider.csv_path.write_text(ONE + "3,c,basic\n")
    assert (await asyncio.wait_for(coming, 30)).added == ("3",)
