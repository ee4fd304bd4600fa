"""A project whose tenants come from a source: templates per tier, and a directory that was synced."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from manor.control.operations.directory_fleet import DirectoryPlaces
from manor.control.operations.provision import ProvisionRequest, dry_run, provision
from manor.control.operations.sync import SyncReport, SyncRequest, sync
from manor.control.registry.directory_home import DirectoryHome
from manor.control.registry.listed import ListedTenantProvider
from manor.control.registry.tenant_info import TenantInfo
from manor.control.rollout.report import Report
from manor.control.runtime import Runtime
from manor.settings import find_project, load_environment
from manor.telemetry import Hook, Telemetry
from manor.wiring import Workplace, open_runtime, template_examiner
from manor.wiring.environments import environment_renderer, template_engine

TEMPLATE = """\
instances: ["main"]
description: "{customer_name}, {TENANT_TYPE}"
tenant_config:
  prefix: "{TENANT_PREFIX}"
data_models:
  users:
    tenant_isolation_column: "tenant_id"
    default_tenant_value: "{tenant_id}"
"""


def tenant(number: int, **changes: Any) -> TenantInfo:
    """Tenant ``t1`` and so on, with names of its own."""
    values = {
        "tenant_id": f"t{number}",
        "customer_code": f"c{number}",
        "customer_name": f"Customer {number}",
        "region": "asia",
        "tier": "standard",
    }
    return TenantInfo(**(values | changes))


@dataclass(frozen=True, kw_only=True)
class Site:
    """One project, used through ``manor.wiring`` as the command line uses it."""

    project: Path

    @property
    def environment(self) -> Path:
        return self.project / "customer_a"

    def workplace(self, *hooks: Hook) -> Workplace:
        project = find_project(self.project, self.project)
        environment = load_environment(project, self.environment)
        return Workplace(project=project, environment=environment, telemetry=Telemetry(*hooks), sessions=8)

    def places(self, **changes: Any) -> DirectoryPlaces:
        workplace = self.workplace()
        engine = template_engine(workplace)
        places = DirectoryPlaces(
            project=workplace.project.folder,
            environment=workplace.environment.folder,
            deployments=tuple(deployment.name for deployment in workplace.environment.deployments),
            render=environment_renderer(engine),
            renderer=engine,
        )
        return dataclasses.replace(places, **changes)

    def run(self, work: Callable[[Runtime], Any], *hooks: Hook) -> Any:
        """What ``work`` gives, with servers and catalog."""

        async def opened() -> Any:
            async with open_runtime(self.workplace(*hooks)) as runtime:
                return await work(runtime)

        return asyncio.run(opened())

    def sync(
        self,
        tenants: Sequence[TenantInfo],
        configs: Mapping[str, Any] | None = None,
        *,
        source: str = "crm",
        hooks: Sequence[Hook] = (),
        **request: Any,
    ) -> SyncReport:
        """The directory says what ``tenants`` say."""
        home = DirectoryHome.at(self.project, self.environment, source)
        wanted = SyncRequest(source=source, home=home, allow_large_change=True, **request)
        report: SyncReport = self.run(lambda runtime: sync(runtime, ListedTenantProvider(tenants, configs), wanted), *hooks)
        return report

    def provision(
        self, query: str = "tenant_id LIKE 't%'", *hooks: Hook, places: Mapping[str, Any] | None = None, **request: Any
    ) -> Report:
        """Provision whom ``query`` finds."""
        wanted, where = ProvisionRequest(query=query, **request), self.places(**(places or {}))
        report: Report = self.run(lambda runtime: provision(runtime, where, wanted, template_examiner()), *hooks)
        return report

    def plan(self, query: str = "tenant_id LIKE 't%'", **request: Any) -> Report:
        """The same, only planned."""
        wanted, where = ProvisionRequest(query=query, **request), self.places()
        report: Report = self.run(lambda runtime: dry_run(runtime, where, wanted, template_examiner()))
        return report

    def add_template(self, name: str, mapping: str = TEMPLATE) -> None:
        """A template folder of the environment."""
        folder = self.environment / name
        folder.mkdir()
        (folder / "_mapping.yaml").write_text(mapping, encoding="utf-8")
        rows = '- id: 1\n  username: "{customer_name}"\n  email: "{instance}@{DATABASE_NAME}"\n  tenant_id: "{tenant_id}"\n'
        (folder / "main@users.dat").write_text(rows, encoding="utf-8")


@pytest.fixture
def site(project: Path) -> Site:
    """The small project without a registry, with the template ``standard_base``."""
    found = Site(project=project)
    (found.environment / "tenant_registry.yaml").unlink()
    found.add_template("standard_base")
    return found


@pytest.fixture(scope="session")
def make_tenant() -> Callable[..., TenantInfo]:
    """``tenant``."""
    return tenant
