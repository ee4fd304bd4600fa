"""Programs of the user's around the change of one target: the registry's ``hooks``, run in the order they are written.

No shell reads anything. A hook is looked at again right before it runs, so that a link that was changed since ``validate`` does
not lead out of the project. How many run at once is the caller's affair. See docs/how-to/run-hooks.md.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manor.control.registry.hook_files import TENANT_URL, HookFile, check_needs, open_hook
from manor.control.registry.hook_paths import HOOK_KINDS
from manor.control.registry.model import Registry
from manor.control.rollout.hook_context import HookContext, environment_of, shown_output, stdin_of, withheld_names
from manor.control.rollout.hook_process import Ended, run_process
from manor.errors import Code, InputError, ManorError
from manor.telemetry import Telemetry

UrlSource = Callable[[], Awaitable[str]]
"""Fetches the tenant's own URL; asked only where a hook needs it."""

_QUOTED_LINES = 3
_QUOTED_CHARACTERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRun:
    """How one hook ended."""

    hook: str
    """As the registry names it."""
    kind: str
    exit: int | None
    """Exit code; negative: the signal that ended it; None: it could not be started."""
    seconds: float = 0.0
    output: str = field(repr=False, default="")
    """The end of what it wrote, 16 kB at most, passwords masked."""

    def to_json(self) -> dict[str, Any]:
        """One entry of an outcome's ``facts["hooks"]``."""
        return {
            "hook": self.hook,
            "kind": self.kind,
            "exit": self.exit,
            "seconds": round(self.seconds, 3),
            "output": self.output,
        }


class HookFailed(ManorError):
    """A hook could not be started (``bad_input``), ran out of time (``timeout``), or said no (``refused``)."""

    code = Code.REFUSED

    def __init__(self, message: str, *, runs: Sequence[HookRun], hint: str = "", code: Code | None = None) -> None:
        super().__init__(message, hint=hint, code=code)
        self.runs = tuple(runs)
        """What ran, the failed one last."""


class HookRunner:
    """Runs the hooks of one registry. False where it has none."""

    def __init__(
        self,
        *,
        folder: Path,
        project: Path,
        hooks: Mapping[str, Sequence[str]],
        timeout_seconds: float,
        telemetry: Telemetry | None = None,
    ) -> None:
        """``folder`` is the registry's own: hooks are named from there and run there. ``timeout_seconds`` is for each hook."""
        self._folder = folder
        self._project = project
        self._hooks = {kind: tuple(named) for kind, named in hooks.items() if named}
        self._timeout_seconds = timeout_seconds
        self._telemetry = telemetry or Telemetry()
        self._withheld = withheld_names(folder, project) if self._hooks else frozenset()

    @classmethod
    def none(cls) -> HookRunner:
        """A runner without hooks."""
        return cls(folder=Path(), project=Path(), hooks={}, timeout_seconds=1)

    @classmethod
    def of_registry(cls, registry: Registry, *, folder: Path, project: Path, telemetry: Telemetry | None = None) -> HookRunner:
        """All hooks of a registry that stands in ``folder``, with its ``operations.batch_settings.timeout_seconds``."""
        return cls(
            folder=folder,
            project=project,
            hooks={kind: getattr(registry.hooks, kind) for kind in HOOK_KINDS},
            timeout_seconds=float(registry.operations.batch_settings.timeout_seconds),
            telemetry=telemetry,
        )

    def __bool__(self) -> bool:
        return bool(self._hooks)

    def has(self, kind: str) -> bool:
        """Whether there is a hook of this kind."""
        return kind in self._hooks

    async def run(self, kind: str, context: HookContext, url: UrlSource | None = None) -> tuple[HookRun, ...]:
        """Run the hooks of one kind for one target, one after the other; the first that fails keeps the rest from running.

        ``url`` is None where there is no database yet. Raises ``HookFailed``, and what ``url`` raises. Cancelling the task
        kills the hook under way with all its processes.
        """
        runs: list[HookRun] = []
        for written in self._hooks.get(kind, ()):
            run, failure = await self._one(written, kind, context, url)
            runs.append(run)
            self._tell(run, context)
            if failure is not None:
                message, hint, code = failure
                raise HookFailed(f"{kind} hook {written!r} {message}", runs=runs, hint=hint, code=code)
        return tuple(runs)

    async def _one(
        self, written: str, kind: str, context: HookContext, url: UrlSource | None
    ) -> tuple[HookRun, tuple[str, str, Code] | None]:
        try:
            hook = open_hook(written, folder=self._folder, project=self._project)
            check_needs(hook, kind)
        except InputError as error:
            return HookRun(hook=written, kind=kind, exit=None), (error.message, error.hint, Code.BAD_INPUT)
        tenant_url = await url() if url is not None and TENANT_URL in hook.needs else None
        try:
            ended = await self._start(hook, context.document(kind), tenant_url)
        except OSError as error:
            return HookRun(hook=written, kind=kind, exit=None), (*_not_started(error), Code.BAD_INPUT)
        output = shown_output(ended.output, tenant_url=tenant_url)
        run = HookRun(hook=written, kind=kind, exit=ended.exit, seconds=ended.seconds, output=output)
        return run, self._failure(ended, output)

    async def _start(self, hook: HookFile, document: Mapping[str, Any], tenant_url: str | None) -> Ended:
        return await run_process(
            hook.command,
            folder=self._folder,
            environment=environment_of(document, os.environ, self._withheld, tenant_url=tenant_url),
            stdin=stdin_of(document),
            timeout_seconds=self._timeout_seconds,
        )

    def _failure(self, ended: Ended, output: str) -> tuple[str, str, Code] | None:
        said = _last_lines(output)
        if ended.timed_out:
            hint = "make it faster, or raise operations.batch_settings.timeout_seconds"
            return f"did not end within {self._timeout_seconds:g} s and was killed{said}", hint, Code.TIMEOUT
        if ended.exit == 0:
            return None
        how = f"was killed by {_signal_name(-ended.exit)}" if ended.exit < 0 else f"ended with exit code {ended.exit}"
        return f"{how}{said}", "its output is in the report, facts.hooks", Code.REFUSED

    def _tell(self, run: HookRun, context: HookContext) -> None:
        self._telemetry.emit(
            "hook.ended",
            context.operation,
            str(context.target.tenant),
            hook=run.hook,
            hook_kind=run.kind,
            exit=run.exit,
            seconds=run.seconds,
        )


def _not_started(error: OSError) -> tuple[str, str]:
    if error.errno == errno.ENOEXEC:
        return "is neither a program nor a script with a first line", "begin it with a line such as #!/bin/sh"
    return f"cannot be started: {error.strerror}", "is there what its first line (#!…) names?"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_lines(output: str) -> str:
    """The end of an output for one line of a message; nothing in it can steer a terminal."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    text = " / ".join(lines[-_QUOTED_LINES:])[-_QUOTED_CHARACTERS:]
    return ": " + "".join(c if c.isprintable() else " " for c in text) if text else ""
