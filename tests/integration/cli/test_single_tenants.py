"""One tenant at a time: whose turn it is, what heals it, and that its trouble stays its own. The tests share one fleet and put
back what they changed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet

from manor.control.catalog.locks import FLEET_LOCK
from manor.control.operations.fleet import FleetSource, load_fleet
from manor.control.operations.healthcheck import HealthRequest, healthcheck_fleet
from manor.control.operations.rotate_key import rotate_key
from manor.control.operations.tenants import find_tenant, rotate_password, tenant_drift
from manor.control.rollout.report import Report
from manor.control.runtime import Runtime
from manor.errors import ConflictError, UnreachableError
from manor.settings import find_project, load_environment
from manor.telemetry import Telemetry
from manor.wiring import Workplace, look_runtime, open_key_ring, open_runtime

REGISTRY = ("--registry", "customer_a/tenant_registry.yaml")
UNREADABLE = "UPDATE manor.tenants SET database_url = 'gAAAAx' WHERE id = 'acme/standard/001'"


def workplace_of(fleet: Any) -> Workplace:
    registry = fleet.manor.registry
    project = find_project(registry.parent, registry=registry)
    return Workplace(project=project, environment=load_environment(project, registry.parent), telemetry=Telemetry())


def healthcheck(fleet: Any, **request: Any) -> Report:
    """One healthcheck in this process."""
    workplace = workplace_of(fleet)
    source = FleetSource(
        project=workplace.project.folder, registry=fleet.manor.registry, shown_as="registry", deployments=["main"]
    )

    async def work() -> Report:
        async with look_runtime(workplace) as runtime:
            return await healthcheck_fleet(runtime, load_fleet(source), HealthRequest(**request))

    return asyncio.run(work())


def codes(report: Report) -> dict[str, str]:
    """Database → error code, of those that failed."""
    return {o.target.database: str(o.failure.code) for o in report.outcomes if o.failure}


@contextlib.contextmanager
def replaced(file: Path, before: str, after: str) -> Iterator[None]:
    """A file that says something else for a while."""
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, after), encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(text, encoding="utf-8")


async def new_password(runtime: Runtime, _: Workplace) -> object:
    return await rotate_password(runtime, "acme_std_001", lock_wait_seconds=0)


async def new_key(runtime: Runtime, workplace: Workplace) -> object:
    return await rotate_key(runtime, open_key_ring(workplace.project), retire=True, lock_wait_seconds=0)


async def drift(runtime: Runtime, _: Workplace) -> object:
    return await tenant_drift(runtime, await find_tenant(runtime, "acme_std_001"), lock_wait_seconds=0)


@pytest.mark.parametrize("act", [new_password, new_key, drift])
def test_what_must_be_alone_waits_for_the_fleets_lock(
    fleet: Any, act: Callable[[Runtime, Workplace], Awaitable[object]]
) -> None:
    """While a deploy runs it is refused with the holder's name, and has changed neither a key nor a URL."""
    workplace = workplace_of(fleet)
    keys = workplace.state / "keys"
    before = keys.read_text(encoding="utf-8"), fleet.ask("SELECT database_url FROM manor.tenants", "manor_catalog")

    async def work() -> None:
        async with (
            open_runtime(workplace) as deploying,
            deploying.catalog.lock(FLEET_LOCK, wait_seconds=0, holder=deploying.operation),
            open_runtime(workplace) as runtime,
        ):
            with pytest.raises(ConflictError, match=deploying.operation):
                await act(runtime, workplace)

    asyncio.run(work())
    assert before == (keys.read_text(encoding="utf-8"), fleet.ask("SELECT database_url FROM manor.tenants", "manor_catalog"))


def test_a_password_is_not_recorded_under_a_key_that_was_retired_meanwhile(fleet: Any) -> None:
    """Whoever read the keys before a rotation is told to begin anew; the tenant's URL stays readable and right."""

    async def work() -> None:
        async with open_runtime(workplace_of(fleet)) as runtime:
            await asyncio.to_thread(fleet.manor, "catalog", "rotate-key", "--retire")
            with pytest.raises(ConflictError, match="key"):
                await rotate_password(runtime, "acme_std_001")

    asyncio.run(work())
    psycopg.connect(fleet.manor("tenant", "url", "acme_std_001").stdout.strip()).close()


def test_a_url_that_cannot_be_decrypted_is_one_tenants_trouble_and_is_healed(fleet: Any) -> None:
    """healthcheck fails for it alone and names the command, which needs the old URL for nothing."""
    fleet.ask(UNREADABLE, "manor_catalog")
    document = fleet.manor.json("multi-tenant", "healthcheck", *REGISTRY, code=1)
    assert document["summary"] == {"success": 4, "skipped": 1, "error": 1}
    failed = next(o for o in document["outcomes"] if o["error"])
    assert (failed["database"], failed["error"]["code"]) == ("acme_std_001", "denied")
    assert "manor tenant rotate-password acme/standard/001" in failed["error"]["hint"]
    assert fleet.manor.json("tenant", "url", "acme_std_001", code=4)["error"]["code"] == "denied"
    fleet.manor("tenant", "rotate-password", "acme_std_001")
    assert fleet.manor.json("multi-tenant", "healthcheck", *REGISTRY)["health"]["healthy"] == 5


def test_keys_of_the_environment_cannot_be_retired(fleet: Any) -> None:
    """`--retire` with MANOR_KEY is refused before anything is done, and the hint says who can."""
    keys = (workplace_of(fleet).state / "keys").read_text(encoding="utf-8")
    known = [word for line in keys.splitlines() if not line.startswith("#") for word in line.split()]
    variable = ",".join([Fernet.generate_key().decode(), *known])
    stored = fleet.ask("SELECT database_url FROM manor.tenants", "manor_catalog")
    error = fleet.manor.json("catalog", "rotate-key", "--retire", code=3, MANOR_KEY=variable)["error"]
    assert error["code"] == "refused"
    assert "--retire" in error["hint"]
    assert "MANOR_KEY" in error["hint"]
    assert fleet.ask("SELECT database_url FROM manor.tenants", "manor_catalog") == stored


@pytest.mark.parametrize("words", [("rotate-password", "acme_std_001"), ("show", "acme_std_001", "--drift")])
def test_a_tenant_of_a_server_that_is_no_longer_named_is_told(fleet: Any, words: tuple[str, ...]) -> None:
    """Not found, with the server's name and where it belongs."""
    with replaced(fleet.manor.registry.parent / "environ.yaml", "  main:", "  other:"):
        error = fleet.manor.json("tenant", *words, code=2)["error"]
    assert error["code"] == "not_found"
    assert "server main" in error["message"]
    assert "environ.yaml" in error["hint"]


def test_what_stands_behind_the_tenant_is_psqls(fleet: Any, tmp_path: Path) -> None:
    """Even where Manor has an option of that name: `-v` and `-e` are psql's there."""
    script = tmp_path / "x.sql"
    script.write_text("SELECT :answer;\n", encoding="utf-8")
    done = fleet.manor("tenant", "psql", "acme_common", "-v", "answer=42", "-e", "-At", "-f", script)
    assert done.stdout.splitlines() == ["SELECT 42;", "42"]


def test_a_template_that_is_switched_off_is_skipped_for_good(fleet: Any, draft: Any) -> None:
    """Where deploy would skip a target, healthcheck does, with and without a catalog; the others are still missed."""
    for manor in (draft, fleet.manor):
        mapping = manor.registry.parent / "tenant_type1" / "_mapping.yaml"
        text = mapping.read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if not line.startswith("deployment:")]
        with replaced(mapping, text, "\n".join([*lines, "deployment: false\n"])):
            document = manor.json("multi-tenant", "healthcheck", *REGISTRY, code=1 if manor is draft else 0)
        skipped = {o["database"]: o["detail"] for o in document["outcomes"] if o["status"] == "skipped"}
        assert skipped["acme_later_001"] == "template tenant_type1 has deployment: false"
        assert [o["database"] for o in document["outcomes"] if o["error"]] == (["acme_common"] if manor is draft else [])


def test_what_is_not_provisioned_on_purpose_is_no_error_before_the_first_deploy(draft: Any) -> None:
    """`auto_provision: false` is skipped where there is no catalog yet, as it is afterwards."""
    document = draft.json("multi-tenant", "healthcheck", *REGISTRY, code=1)
    assert document["summary"] == {"error": 5, "skipped": 1}
    assert document["outcomes"][4]["detail"] == "auto_provision: false"


def test_a_tenant_that_holds_a_lock_does_not_hold_up_the_others(fleet: Any) -> None:
    """Its own outcome is a timeout after the given time, with a hint; the rest is healthy."""
    with psycopg.connect(fleet.url, dbname="acme_std_002") as holder:
        holder.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        report = healthcheck(fleet, timeout_seconds=2)
    assert codes(report) == {"acme_std_002": "timeout"}
    failure = next(o.failure for o in report.outcomes if o.failure)
    assert failure is not None
    assert failure.hint


def test_a_refusal_in_another_language_is_a_refusal(fleet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the words of the server are unknown, it is asked whether the role may connect: no means that isolation holds."""

    def not_understood(text: str, where: str) -> UnreachableError:
        return UnreachableError(f"{where}: {text}", transient=True)

    monkeypatch.setattr("manor.control.engines.postgres.session._translate_connection_failure", not_understood)
    report = healthcheck(fleet)
    assert codes(report) == {}
    assert {o.facts["isolation_probe"] for o in report.outcomes if o.facts} == {"refused"}
