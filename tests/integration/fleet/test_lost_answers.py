"""Work that was done and whose answer was lost: the connection broke between the server's commit and our hearing of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from manor.errors import UnreachableError


class Lossy:
    """A port that does one method's work and loses the answer of its n-th call."""

    def __init__(self, port: Any, method: str, call: int) -> None:
        self._port, self._method, self._call = port, method, call
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        return self._losing(found) if name == self._method else found

    def _losing(self, work: Callable[..., Any]) -> Callable[..., Any]:
        async def work_and_lose(*arguments: Any, **options: Any) -> Any:
            answer = await work(*arguments, **options)
            self.calls += 1
            if self.calls == self._call:
                raise UnreachableError("the connection broke after the work was done", transient=True)
            return answer

        return work_and_lose


SERVER = ["prepare", "build_golden", "clone", "create_roles", "restrict", "fill", "publish"]
CATALOG = ["record_intent", "record_results", "put_golden", "finish_operation", "pool_take"]


@pytest.mark.parametrize(("port", "method"), [*(("server", m) for m in SERVER), *(("catalog", m) for m in CATALOG)])
def test_a_step_whose_answer_was_lost_is_neither_missed_nor_done_twice(
    driver: Any, registry: Path, fleet_check: Any, port: str, method: str
) -> None:
    """Trying again finds the work done, or undoes it first; every target succeeds in the same run."""
    lossy: list[Lossy] = []

    def wrap(runtime: Any) -> Any:
        if port == "catalog":
            lossy.append(Lossy(runtime.catalog, method, 1))
            return replace(runtime, catalog=lossy[0])
        (name,) = runtime.servers
        lossy.append(Lossy(runtime.servers[name], method, 1))
        return replace(runtime, servers={name: lossy[0]})

    report = driver.deploy_once(registry, wrap=wrap)
    assert lossy[0].calls >= 1
    assert report.summary == {"success": 5}, [o.detail for o in report.outcomes]
    assert fleet_check.problems() == []


def test_a_password_whose_change_was_not_heard_of_is_the_recorded_one(
    driver: Any, registry: Path, fleet_check: Any, server_url: str
) -> None:
    """Finishing what an earlier run had published sets the password after it was recorded."""
    assert driver.deploy_once(registry).exit_code == 0
    import psycopg

    with psycopg.connect(server_url, dbname="manor_catalog", autocommit=True) as connection:
        connection.execute("UPDATE manor.databases SET state = 'pending'")
    lost = driver.deploy_once(
        registry, wrap=lambda r: replace(r, servers={n: Lossy(s, "set_password", 2) for n, s in r.servers.items()})
    )
    assert lost.summary == {"success": 4, "error": 1}
    assert driver.deploy_once(registry).exit_code == 0
    assert fleet_check.problems() == []
