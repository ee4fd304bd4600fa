"""Deploys a registry through ``manor.wiring`` and kills its own process, as ``kill -9`` does, where it is told to.

Run as a program by the kill tests; loaded as a module by the fixtures of this folder for deploys that are to live. The kill
comes at the n-th event of a kind (``*`` is any kind), on the thread that emits it, so that nothing after the boundary has
begun; or after a time. A deploy can also be held at an event until a line comes in.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from manor.control.operations import deploy as deploy_module
from manor.control.operations.deploy import DeployRequest, deploy, limits_of
from manor.control.operations.fleet import Fleet, FleetSource, load_fleet
from manor.control.rollout.report import Report
from manor.control.rollout.waves import waves
from manor.control.runtime import Runtime
from manor.settings import find_project, load_environment
from manor.telemetry import Event, Hook, Telemetry
from manor.wiring import Workplace, open_runtime

ANY = "*"


def open_workplace(registry: Path, *hooks: Hook, sessions: int = 20) -> Workplace:
    """The workplace of a registry, as the command line would open it."""
    project = find_project(registry.parent, registry=registry)
    environment = load_environment(project, registry.parent)
    return Workplace(project=project, environment=environment, telemetry=Telemetry(*hooks), sessions=sessions)


def read(workplace: Workplace, registry: Path) -> Fleet:
    """The fleet that the registry declares."""
    source = FleetSource(
        project=workplace.project.folder,
        registry=registry,
        shown_as=workplace.project.shown(registry),
        deployments=[d.name for d in workplace.environment.deployments],
    )
    return load_fleet(source)


def deploy_once(
    registry: Path, *hooks: Hook, wrap: Callable[[Runtime], Runtime] = lambda runtime: runtime, **request: Any
) -> Report:
    """One deploy in this process. ``wrap`` may exchange ports of the runtime."""
    workplace = open_workplace(registry, *hooks)
    fleet = read(workplace, registry)
    wanted = DeployRequest(**request)

    async def work() -> Report:
        bounded = open_workplace(registry, *hooks, sessions=limits_of(fleet, wanted).parallel)
        async with open_runtime(bounded) as runtime:
            return await deploy(wrap(runtime), fleet, wanted)

    return asyncio.run(work())


def killer(kind: str, occurrence: int) -> Hook:
    """A hook that ends this process without a chance to clean up, at the n-th event (from 1) of ``kind``."""
    seen = 0

    def look(event: Event) -> None:
        nonlocal seen
        if kind not in {ANY, event.kind}:
            return
        seen += 1
        if seen == occurrence:
            die()

    return look


def pauser(kind: str, occurrence: int) -> Hook:
    """A hook that says ``paused`` at the n-th event of ``kind`` and waits for a line, or for the end of the input."""
    seen = 0

    def look(event: Event) -> None:
        nonlocal seen
        seen += event.kind == kind
        if event.kind == kind and seen == occurrence:
            print("paused", event.operation, flush=True)
            sys.stdin.readline()

    return look


def kill_after(seconds: float) -> None:
    """The same after a time, from another thread, wherever the work may be then."""
    clock = threading.Timer(seconds, die)
    clock.daemon = True
    clock.start()


def use_waves_of(size: int) -> None:
    """Cut the fleet into small waves, so that a few targets have boundaries between waves too."""
    deploy_module.waves = functools.partial(waves, size=size)


def die() -> None:
    """SIGKILL to this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Deploy and die on the way. The clock of ``--after-ms`` starts when the servers are reached."""
    parser = argparse.ArgumentParser()
    parser.add_argument("registry", type=Path)
    parser.add_argument("--at", default="")
    parser.add_argument("--occurrence", type=int, default=1)
    parser.add_argument("--after-ms", type=float, default=0)
    parser.add_argument("--wave-size", type=int, default=0)
    parser.add_argument("--pause-at", default="")
    options = parser.parse_args()
    if options.wave_size:
        use_waves_of(options.wave_size)

    def started(runtime: Runtime) -> Runtime:
        if options.after_ms:
            kill_after(options.after_ms / 1000)
        return runtime

    hooks = [killer(options.at, options.occurrence)] if options.at else [pauser(options.pause_at, options.occurrence)]
    print(deploy_once(options.registry, *hooks, wrap=started).summary)


if __name__ == "__main__":
    main()
