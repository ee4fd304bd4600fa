"""``manor tenant provision``: the databases of tenants that a source told of, through the pipeline of every deploy."""

from __future__ import annotations

from dataclasses import dataclass, replace

from manor.control.operations.deploy import DeployRequest, deploy
from manor.control.operations.deploy import dry_run as plan_deploy
from manor.control.operations.directory_fleet import DirectoryPlaces, directory_fleet
from manor.control.operations.fleet import Examine, Fleet
from manor.control.registry.directory_home import DirectoryHome
from manor.control.rollout.report import Report
from manor.control.runtime import Runtime
from manor.control.steps import Status
from manor.errors import counted

VERB = "provision"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionRequest:
    """What the command line or the API asks for."""

    query: str
    """Of the search language, over what sources told."""
    source: str | None = None
    parallel: int | None = None
    limit: int | None = None
    plan_digest: str | None = None
    allow_large_change: bool = False
    recreate_missing: bool = False
    lock_wait_seconds: float = 10.0

    def deploy(self) -> DeployRequest:
        """The same as a deploy's."""
        return DeployRequest(
            verb=VERB,
            taken_back=Status.ROLLED_BACK,
            limit=self.limit,
            parallel=self.parallel,
            plan_digest=self.plan_digest,
            allow_large_change=self.allow_large_change,
            recreate_missing=self.recreate_missing,
            lock_wait_seconds=self.lock_wait_seconds,
        )


async def provision(runtime: Runtime, places: DirectoryPlaces, request: ProvisionRequest, examine: Examine) -> Report:
    """Make what is not there yet, for every tenant that the query finds. Raises like ``directory_fleet`` and ``deploy``;
    afterwards each tenant's instances have their outcomes: one that failed after it was begun is ``rolled_back``."""
    fleet = await directory_fleet(runtime.catalog, request.query, places, source=request.source, examine=examine)
    return await _noting(runtime, fleet, await deploy(runtime, fleet, request.deploy()))


async def dry_run(runtime: Runtime, places: DirectoryPlaces, request: ProvisionRequest, examine: Examine) -> Report:
    """Look and plan only. Raises as ``provision`` does before it acts."""
    fleet = await directory_fleet(runtime.catalog, request.query, places, source=request.source, examine=examine)
    return await _noting(runtime, fleet, await plan_deploy(runtime, fleet, request.deploy()))


async def _noting(runtime: Runtime, fleet: Fleet, report: Report) -> Report:
    """With what is known of databases whose tenants the source has no longer: no query finds these any more."""
    home = DirectoryHome.parse(fleet.source.shown_as)
    marks = await runtime.catalog.directory_marks(home.source) if home is not None else {}
    gone = [tenant for tenant, mark in marks.items() if mark.state == "gone"]
    left = sum((await runtime.catalog.directory_databases(fleet.source.shown_as, gone)).values()) if gone else 0
    if not left:
        return report
    what = f"{counted(left, 'database')} of tenants that are gone from the source"
    notice = f"{what} stay as they are: `manor tenant delete` erases them"
    return replace(report, notices=(*report.notices, notice))
