"""Runs operations in processes that can be killed or stopped at any event, and says how each of them ended.

As a program it is a foreman: it imports everything once and forks a worker per job, so that a kill costs no start of Python.
Jobs and answers are lines of JSON on its standard input and output. A worker dies by SIGKILL, or stops by SIGSTOP, at the n-th
event of a kind (``*`` is any), on the thread that emits it: nothing after the boundary has begun. It can also die after a time.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from manor.control.audit import AuditLog
from manor.control.operations.deploy import DeployRequest, deploy, limits_of
from manor.control.operations.fleet import FleetSource, load_fleet
from manor.control.operations.healthcheck import HealthRequest, healthcheck_fleet
from manor.control.operations.migrate import MigrateRequest, migrate
from manor.control.operations.operation_log import ask, list_operations, recover_all, show_operation
from manor.control.operations.operation_resume import resume
from manor.control.operations.operation_undo import retry, undo
from manor.control.operations.release_draft import Selection
from manor.control.rollout.report import Report
from manor.control.rollout.strategy import Overrides
from manor.control.runtime import Runtime
from manor.errors import ManorError
from manor.settings import find_project, load_environment
from manor.telemetry import Event, Hook, Telemetry
from manor.wiring import Workplace, open_runtime

ANY = "*"
Job = Mapping[str, Any]


def at_event(kind: str, occurrence: int, act: Callable[[], None]) -> Hook:
    """A hook that acts at the n-th event (from 1) of ``kind``."""
    seen = 0

    def look(event: Event) -> None:
        nonlocal seen
        seen += kind in {ANY, event.kind}
        if kind in {ANY, event.kind} and seen == occurrence:
            act()

    return look


def die() -> None:
    """SIGKILL to this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def stop() -> None:
    """SIGSTOP to this process: it goes on when somebody sends SIGCONT."""
    os.kill(os.getpid(), signal.SIGSTOP)


def logger(path: str) -> Hook:
    """A hook that writes every event down, unbuffered."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return lambda event: void(os.write(descriptor, f"{event.kind}\t{event.operation}\t{event.subject}\n".encode()))


def run_short_of_files() -> None:
    """Let this process open four more files, unless it raises its limit itself."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/dev/fd").iterdir())) + 4, hard))


def void(_: object) -> None:
    """Nothing."""


def hooks_of(job: Job) -> list[Hook]:
    """What a job says about events."""
    hooks = [logger(job["events"])]
    if job.get("kill_at"):
        hooks.append(at_event(*job["kill_at"], die))
    if job.get("stop_at"):
        hooks.append(at_event(*job["stop_at"], stop))
    if job.get("short_of_files_at"):
        hooks.append(at_event(*job["short_of_files_at"], run_short_of_files))
    return hooks


def workplace_of(registry: Path, hooks: list[Hook], sessions: int = 20) -> Workplace:
    """As the command line would open it."""
    project = find_project(registry.parent, registry=registry)
    environment = load_environment(project, registry.parent)
    return Workplace(project=project, environment=environment, telemetry=Telemetry(*hooks), sessions=sessions)


def request_of(job: Job) -> MigrateRequest:
    """``tenant migrate`` with a job's options."""
    tenants = tuple(job.get("tenants", ()))
    return MigrateRequest(
        selection=Selection(everyone=not tenants, tenants=tenants),
        strategy=job.get("strategy"),
        overrides=Overrides(**job.get("overrides", {})),
        parallel=job.get("parallel", 3),
    )


async def perform(job: Job, workplace: Workplace) -> Any:
    """Carry a job out in a runtime of its own; what it returns can be JSON."""
    work = VERBS[job["verb"]]
    async with open_runtime(workplace, operation=job["operation"] if job["verb"] == "resume" else "") as runtime:
        if job.get("kill_after_ms"):
            clock = threading.Timer(job["kill_after_ms"] / 1000, die)
            clock.daemon = True
            clock.start()
        return await work(runtime, workplace, job)


def reported(work: Callable[[Runtime, Workplace, Job], Awaitable[Report]]) -> Callable[..., Awaitable[Any]]:
    """A verb whose answer is a report."""

    async def perform_it(runtime: Runtime, workplace: Workplace, job: Job) -> Any:
        report = await work(runtime, workplace, job)
        return {**report.to_json(), "exit_code": report.exit_code}

    return perform_it


async def _resume(runtime: Runtime, workplace: Workplace, _: Job) -> Report:
    await recover_all(runtime)
    return await resume(runtime, workplace.project.folder)


def _fleet(job: Job, workplace: Workplace) -> Any:
    registry = Path(job["registry"])
    names = [d.name for d in workplace.environment.deployments]
    shown = workplace.project.shown(registry)
    source = FleetSource(project=workplace.project.folder, registry=registry, shown_as=shown, deployments=names)
    return load_fleet(source)


async def _deploy(runtime: Runtime, workplace: Workplace, job: Job) -> Report:
    return await deploy(runtime, _fleet(job, workplace), DeployRequest(allow_large_change=True))


async def _inspect(runtime: Runtime, workplace: Workplace, job: Job) -> Any:
    """Health, audit log and journal, as the commands that look would tell them."""
    report = await healthcheck_fleet(runtime, _fleet(job, workplace), HealthRequest())
    verdict = await AuditLog(runtime.catalog, runtime.anchor).verify()
    operations, in_doubt = await list_operations(runtime, limit=1_000)
    views = [await show_operation(runtime, o.id) for o in operations[: job.get("newest", 6)] if o.verb != "deploy"]
    return {
        "unhealthy": [f"{o.target.database}: {o.detail}" for o in report.outcomes if str(o.status) != "success"],
        "audit": list(verdict.problems) if not verdict.ok else [],
        "in_doubt": [f"{one.database} of {one.operation}" for one in in_doubt],
        "operations": [
            {
                "id": view.release.operation.id,
                "state": view.release.operation.state,
                "summary": dict(view.release.operation.summary),
                "counts": view.summary,
                "targets": {t.tenant: t.status for t in view.targets},
                "unnamed": [t.tenant for t in view.targets if t.status in ("error", "needs_decision") and not t.error],
            }
            for view in views
        ],
    }


async def _recover(runtime: Runtime, _: Workplace, __: Job) -> Any:
    settled = await recover_all(runtime)
    return [{"operation": s.operation, "state": s.state, "counts": dict(s.counts)} for s in settled]


async def _ask(runtime: Runtime, _: Workplace, job: Job) -> Any:
    return await ask(runtime, job["operation"], job["wanted"])


async def _show(runtime: Runtime, _: Workplace, job: Job) -> Any:
    view = await show_operation(runtime, job["operation"])
    return {"state": view.release.operation.state, "alive": view.alive, "counts": view.summary}


VERBS: Mapping[str, Callable[..., Awaitable[Any]]] = {
    "deploy": reported(_deploy),
    "migrate": reported(lambda runtime, workplace, job: migrate(runtime, workplace.project.folder, request_of(job))),
    "undo": reported(lambda runtime, workplace, job: undo(runtime, workplace.project.folder, job["operation"])),
    "retry": reported(lambda runtime, workplace, job: retry(runtime, workplace.project.folder, job["operation"])),
    "resume": reported(_resume),
    "recover": _recover,
    "inspect": _inspect,
    "ask": _ask,
    "show": _show,
}


def run(job: Job) -> None:
    """A worker's whole life: the answer, or the error, goes into the job's file."""
    try:
        workplace = workplace_of(Path(job["registry"]), hooks_of(job))
        if job["verb"] == "deploy":
            fleet = _fleet(job, workplace)
            limits = limits_of(fleet, DeployRequest())
            workplace = workplace_of(Path(job["registry"]), hooks_of(job), sessions=limits.parallel)
        answer = {"answer": asyncio.run(perform(job, workplace))}
    except ManorError as error:
        answer = {"error": {"code": str(error.code), "message": error.message, "hint": error.hint}}
    except BaseException:  # the test prints it
        answer = {"crash": traceback.format_exc()}
    result = Path(job["result"])
    unfinished = result.with_suffix(".part")
    unfinished.write_text(json.dumps(answer, default=str), encoding="utf-8")
    unfinished.rename(result)  # it may be killed while it writes


def answer_to(line: str) -> Any:
    """Start a worker, or wait until one has ended or stopped."""
    wanted = json.loads(line)
    if "wait" in wanted:
        _, status = os.waitpid(wanted["wait"], os.WUNTRACED)
        stopped = os.WIFSTOPPED(status)
        return {"stopped": stopped, "signal": os.WTERMSIG(status) if not stopped and os.WIFSIGNALED(status) else 0}
    worker = os.fork()
    if worker:
        return {"pid": worker}
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    run(wanted)
    os._exit(0)


def main() -> None:
    """Be the foreman."""
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(answer_to(line)), flush=True)


if __name__ == "__main__":
    main()
