"""Hooks are run without a shell, told everything but secrets, bounded in time and output, and leave no process behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from manor.control.registry.model import Registry
from manor.control.rollout.hook_context import OUTPUT_BYTES, HookContext, shown_output
from manor.control.rollout.hook_process import KEPT_BYTES, run_process
from manor.control.rollout.hooks import HookFailed, HookRun, HookRunner
from manor.control.steps import Failure, Status, Target
from manor.errors import Code
from manor.telemetry import Event, Telemetry
from manor.tenancy import TenantId

TARGET = Target(
    tenant=TenantId("acme", "tenants", "001"),
    database="acme_t_001",
    group="tenants",
    kind="tenant_group",
    template="standard",
    server="main",
    variables={},
)
CONTEXT = HookContext(operation="op-1", verb="deploy", target=TARGET)
URL = "postgresql://acme_t_001:p%40ss-word@localhost:5432/acme_t_001"
TOLD = {
    "operation_id": "op-1",
    "verb": "deploy",
    "tenant_id": "acme/tenants/001",
    "database": "acme_t_001",
    "server": "main",
    "group": "tenants",
    "template": "standard",
    "dry_run": False,
    "attempt": 1,
}
PYTHON = Path(sys.executable).resolve()
"""Not that of the virtual environment: a path with a space cannot stand in a first line."""
PRINT_ENVIRONMENT = f"#!{PYTHON}\nimport os, json\nprint(json.dumps(dict(os.environ)))\n"
PRINT_INPUT = "#!/bin/sh\ncat\n"


async def tenant_url() -> str:
    return URL


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The registry's folder inside a project."""
    inside = tmp_path / "project" / "customer"
    (inside / "scripts").mkdir(parents=True)
    return inside


Script = Callable[..., str]


@pytest.fixture
def script(folder: Path) -> Script:
    """``script(text, name)``: a hook; returns how a registry names it."""

    def write(text: str, name: str = "hook.sh", *, mode: int = 0o755) -> str:
        path = folder / "scripts" / name
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return f"./scripts/{name}"

    return write


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def runner(folder: Path, told: list[Event]) -> Callable[..., HookRunner]:
    """``runner(*hooks)``: of every kind the same."""

    def make(*hooks: str, seconds: float = 30.0) -> HookRunner:
        kinds = ("pre_provision", "post_provision", "pre_update", "post_update")
        return HookRunner(
            folder=folder,
            project=folder.parent,
            hooks=dict.fromkeys(kinds, hooks),
            timeout_seconds=seconds,
            telemetry=Telemetry(told.append),
        )

    return make


async def failing(runner: HookRunner, kind: str = "pre_provision") -> HookFailed:
    with pytest.raises(HookFailed) as caught:
        await runner.run(kind, CONTEXT)
    return caught.value


# What a hook is told


async def test_standard_input_is_one_json_document(runner, script) -> None:
    """With exactly the documented keys."""
    (run,) = await runner(script(PRINT_INPUT)).run("pre_provision", CONTEXT)
    assert json.loads(run.output) == {**TOLD, "hook_kind": "pre_provision"}


async def test_an_update_hook_is_told_the_versions(runner, script) -> None:
    """And one after the update its status and error too."""
    failure = Failure(code=Code.TIMEOUT, message="too slow", hint="wait")
    context = replace(
        CONTEXT, from_version="1", to_version="3", versions=("2", "3"), status=Status.ERROR, failure=failure, attempt=2
    )
    document = {**TOLD, "hook_kind": "pre_update", "attempt": 2, "from_version": "1", "to_version": "3", "versions": ["2", "3"]}
    hooks = runner(script(PRINT_INPUT))
    (before,) = await hooks.run("pre_update", context)
    (after,) = await hooks.run("post_update", context)
    error = {"code": "timeout", "message": "too slow", "hint": "wait"}
    assert json.loads(before.output) == document
    assert json.loads(after.output) == {**document, "hook_kind": "post_update", "status": "error", "error": error}


async def test_the_environment_says_the_same(runner, script, monkeypatch) -> None:
    """As ``MANOR_`` variables, lists with blanks between."""
    monkeypatch.delenv("MANOR_STATE_DIR", raising=False)  # where this run keeps its servers
    context = replace(CONTEXT, from_version=None, to_version="3", versions=("2", "3"), status=Status.SUCCESS)
    (run,) = await runner(script(PRINT_ENVIRONMENT)).run("post_update", context)
    found = {name: text for name, text in json.loads(run.output).items() if name.startswith("MANOR_")}
    assert found == {
        "MANOR_OPERATION_ID": "op-1",
        "MANOR_VERB": "deploy",
        "MANOR_HOOK_KIND": "post_update",
        "MANOR_TENANT_ID": "acme/tenants/001",
        "MANOR_DATABASE": "acme_t_001",
        "MANOR_SERVER": "main",
        "MANOR_GROUP": "tenants",
        "MANOR_TEMPLATE": "standard",
        "MANOR_DRY_RUN": "false",
        "MANOR_ATTEMPT": "1",
        "MANOR_FROM_VERSION": "",
        "MANOR_TO_VERSION": "3",
        "MANOR_VERSIONS": "2 3",
        "MANOR_STATUS": "success",
        "MANOR_ERROR": "",
    }


async def test_secrets_of_ours_are_not_handed_on(runner, script, folder, monkeypatch) -> None:
    """Keys, PostgreSQL's passwords, URLs with a password, and what the settings files take from there; the rest is."""
    (folder / "environ.yaml").write_text("deployments:\n  main: postgresql://admin:${FLEET_SECRET}@db/postgres\n")
    for name in ("MANOR_KEY", "MANOR_KEY_FILE", "MANOR_TENANT_URL", "MANOR_ADMIN_PASSWORD", "PGPASSWORD", "FLEET_SECRET"):
        monkeypatch.setenv(name, "hidden")
    monkeypatch.setenv("DATABASE_URL", "postgresql://admin:hidden@db/postgres")
    monkeypatch.setenv("CHAT_TOKEN", "the user's own")
    monkeypatch.setenv("MANOR_STATE_DIR", "/state")
    (run,) = await runner(script(PRINT_ENVIRONMENT)).run("pre_provision", CONTEXT)
    found = json.loads(run.output)
    assert "hidden" not in run.output
    assert "DATABASE_URL" not in found
    assert (found["CHAT_TOKEN"], found["MANOR_STATE_DIR"]) == ("the user's own", "/state")
    assert found["PATH"] == os.environ["PATH"]


async def test_a_hook_gets_the_tenants_url_only_if_it_asks(runner, script) -> None:
    """With one comment line; what it prints of the password is masked, in the URL and alone."""
    text = (
        '#!/bin/sh\n# manor:needs TENANT_URL\necho "$MANOR_TENANT_URL" > given\necho $MANOR_TENANT_URL p@ss-word p%40ss-word\n'
    )
    asking, silent = script(text), script(PRINT_ENVIRONMENT, "silent")
    runs = await runner(asking, silent).run("post_provision", CONTEXT, tenant_url)
    assert runs[0].output == "postgresql://acme_t_001:***@localhost:5432/acme_t_001 *** ***\n"
    assert "MANOR_TENANT_URL" not in json.loads(runs[1].output)


async def test_a_hook_that_asks_gets_the_whole_url(runner, script, folder) -> None:
    """Unmasked in its environment, with the registry's folder as its working directory."""
    await runner(script('#!/bin/sh\n# manor:needs TENANT_URL\nprintf %s "$MANOR_TENANT_URL" > given\n')).run(
        "post_update", CONTEXT, tenant_url
    )
    assert (folder / "given").read_text() == URL


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ("# manor:needs ADMIN_URL", "post_provision", "asks for ADMIN_URL, which no hook is given"),
        ("# manor:needs TENANT_URL, CATALOG_URL", "post_provision", "asks for CATALOG_URL, which no hook is given"),
        ("# manor:needs TENANT_URL", "pre_provision", "asks for TENANT_URL, which a pre_provision hook cannot have"),
    ],
)
async def test_a_hook_that_asks_for_what_it_cannot_have_does_not_run(runner, script, folder, line, kind, message) -> None:
    """It says ``bad_input`` and is not started."""
    error = await failing(runner(script(f"#!/bin/sh\n{line}\ntouch ran\n")), kind)
    assert error.message == f"{kind} hook './scripts/hook.sh' {message}"
    assert error.code is Code.BAD_INPUT
    assert not (folder / "ran").exists()


# How it is run


@pytest.mark.parametrize(
    ("name", "text", "mode", "said"),
    [
        ("plain.sh", "echo by a shell\n", 0o644, "by a shell\n"),
        ("shebang.sh", f"#!{PYTHON}\nprint('by itself')\n", 0o755, "by itself\n"),
        ("executable.sh", "echo without a first line\n", 0o755, "without a first line\n"),
        ("plain.py", "import sys; print(sys.executable)\n", 0o644, f"{sys.executable}\n"),
        ("any name", "#!/bin/sh\necho $#; basename $PWD\n", 0o755, "0\ncustomer\n"),
        ("$(touch x);.sh", "echo quoted\n", 0o644, "quoted\n"),
    ],
)
async def test_each_kind_of_file_runs(runner, script, name, text, mode, said) -> None:
    """By itself where it is executable, else by what its name says; no shell reads its path."""
    (run,) = await runner(script(text, name, mode=mode)).run("pre_update", CONTEXT)
    assert (run.exit, run.output) == (0, said)


@pytest.mark.parametrize(
    ("name", "text", "mode", "problem"),
    [
        ("notes.txt", "#!/bin/sh\n", 0o644, "is not executable"),
        ("noise", "neither\n", 0o755, "is neither a program nor a script with a first line"),
        ("lost", "#!/no/such/interpreter\n", 0o755, "cannot be started: No such file or directory"),
    ],
)
async def test_a_file_that_cannot_run_says_why(runner, script, name, text, mode, problem) -> None:
    """As ``bad_input``, with a run that never started."""
    error = await failing(runner(script(text, name, mode=mode)))
    assert error.message == f"pre_provision hook './scripts/{name}' {problem}"
    assert (error.code, error.runs) == (Code.BAD_INPUT, (HookRun(hook=f"./scripts/{name}", kind="pre_provision", exit=None),))
    assert error.hint


async def test_a_hook_that_is_gone_is_said(runner) -> None:
    """Whatever validate had seen."""
    error = await failing(runner("./scripts/none.sh"))
    assert error.message == "pre_provision hook './scripts/none.sh' does not exist"


async def test_a_link_out_of_the_project_is_not_followed(runner, script, folder) -> None:
    """The look is taken right before each run: a link that was swapped meanwhile does not get through."""
    good = folder / script("#!/bin/sh\necho inside\n", "good")
    outside = folder.parent.parent / "outside"
    outside.write_text("#!/bin/sh\ntouch ran\n")
    outside.chmod(0o755)
    link = folder / "link"
    link.symlink_to(good)
    hooks = runner("link")
    (run,) = await hooks.run("pre_provision", CONTEXT)
    assert run.output == "inside\n"
    link.unlink()
    link.symlink_to(outside)
    error = await failing(hooks)
    assert error.message.endswith("leads out of the project through a symbolic link")
    assert not (folder / "ran").exists()


async def test_hooks_run_in_order_and_the_first_failure_stops_the_rest(runner, script, folder, told) -> None:
    """The failure carries what ran before it; each end is an event."""
    hooks = runner(
        script("#!/bin/sh\necho one\n", "one"),
        script("#!/bin/sh\necho no >&2\nexit 3\n", "two"),
        script("#!/bin/sh\ntouch ran\n", "three"),
    )
    error = await failing(hooks)
    assert [(run.hook, run.exit, run.output) for run in error.runs] == [
        ("./scripts/one", 0, "one\n"),
        ("./scripts/two", 3, "no\n"),
    ]
    assert [(e.kind, e.subject, e.details["exit"]) for e in told] == [
        ("hook.ended", "acme/tenants/001", 0),
        ("hook.ended", "acme/tenants/001", 3),
    ]
    assert not (folder / "ran").exists()


async def test_an_exit_code_is_named_with_the_last_lines(runner, script) -> None:
    """On one line that cannot steer a terminal."""
    error = await failing(runner(script("#!/bin/sh\nprintf 'a\\nb\\n\\033[31mc\\n\\nd\\n'\nexit 3\n")))
    assert error.message == "pre_provision hook './scripts/hook.sh' ended with exit code 3: b /  [31mc / d"
    assert error.code is Code.REFUSED


async def test_a_signal_is_named(runner, script) -> None:
    """Its number is in the run, negative."""
    error = await failing(runner(script("#!/bin/sh\nkill -KILL $$\n")))
    assert error.message == "pre_provision hook './scripts/hook.sh' was killed by SIGKILL"
    assert error.runs[0].exit == -signal.SIGKILL


async def test_both_streams_are_kept_in_the_order_they_came(runner, script) -> None:
    """Interleaved, bad bytes replaced."""
    (run,) = await runner(script("#!/bin/sh\necho 1\necho 2 >&2\nprintf '3\\377\\000\\n'\n")).run("pre_update", CONTEXT)
    assert run.output == "1\n2\n3\ufffd\ufffd\n"
    assert run.to_json() == {
        "hook": "./scripts/hook.sh",
        "kind": "pre_update",
        "exit": 0,
        "seconds": round(run.seconds, 3),
        "output": run.output,
    }


async def test_of_ten_megabytes_the_end_is_kept(runner, script) -> None:
    """A program that prints without end fills no memory."""
    text = "import sys\nfor n in range(10 << 10):\n    sys.stdout.write(f'{n:01023d}\\n')\n"
    (run,) = await runner(script(text, "much.py", mode=0o644)).run("pre_update", CONTEXT)
    assert len(run.output) == OUTPUT_BYTES
    assert run.output.endswith(f"{(10 << 10) - 1:01023d}\n")


async def test_a_program_that_does_not_read_its_input_fails_nobody(runner, script) -> None:
    """However long the document is."""
    context = replace(CONTEXT, versions=tuple(str(n) for n in range(50_000)))
    (run,) = await runner(script("#!/bin/sh\nexec <&-\necho ${#MANOR_VERSIONS}\n")).run("pre_update", context)
    assert run.output == "8192\n"


# Time


async def all_ended(fifo: Path) -> asyncio.Future[bytes]:
    """A read of ``fifo`` that ends once every process that has it open for writing is gone."""
    os.mkfifo(fifo)
    return asyncio.ensure_future(asyncio.to_thread(fifo.read_bytes))


FORKING = "#!/bin/sh\nexec 9>alive\n(trap '' TERM; exec sleep 600) &\n"


async def test_a_hook_that_takes_too_long_is_killed_with_its_children(runner, script, folder) -> None:
    """One that ignores SIGTERM among them; the code is ``timeout`` and what it had said is kept."""
    ended = await all_ended(folder / "alive")
    error = await failing(runner(script(FORKING + "echo begun\nwait\n"), seconds=1))
    assert await asyncio.wait_for(ended, 30) == b""
    assert error.message == "pre_provision hook './scripts/hook.sh' did not end within 1 s and was killed: begun"
    assert error.code is Code.TIMEOUT
    assert error.runs[0].exit == -signal.SIGTERM


async def test_a_hook_that_ignores_sigterm_gets_sigkill(script, folder) -> None:
    """After the grace."""
    script("#!/bin/sh\ntrap '' TERM\nexec 9>alive\nwhile :; do sleep 600; done\n")
    ended = await all_ended(folder / "alive")
    end = await run_process(
        [str(folder / "scripts" / "hook.sh")],
        folder=folder,
        environment={"PATH": os.environ["PATH"]},
        stdin=b"",
        timeout_seconds=1,
        grace_seconds=0.1,
    )
    assert await asyncio.wait_for(ended, 30) == b""
    assert (end.exit, end.timed_out) == (-signal.SIGKILL, True)


async def test_what_a_hook_leaves_running_ends_with_it(runner, script, folder) -> None:
    """Nobody waits for a child that keeps the output open."""
    ended = await all_ended(folder / "alive")
    (run,) = await runner(script(FORKING + "echo done\n")).run("pre_update", CONTEXT)
    assert await asyncio.wait_for(ended, 30) == b""
    assert (run.exit, run.output) == (0, "done\n")


async def test_a_process_that_left_the_group_holds_nobody_up(runner, script, folder) -> None:
    """It is let go: a daemon started on purpose."""
    pid_file = folder / "pid"
    (run,) = await runner(
        script("#!/bin/sh\nsetsid sh -c 'echo $$ > pid; exec sleep 600' &\nwhile [ ! -s pid ]; do :; done\n")
    ).run("pre_update", CONTEXT)
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    assert run.exit == 0
    assert run.seconds < 30


async def test_cancelling_kills_the_hook_with_its_children(runner, script, folder) -> None:
    """And only then is the task over."""
    os.mkfifo(folder / "alive")
    hook = script(FORKING + "echo begun >&9\nwait\n")
    task = asyncio.ensure_future(runner(hook).run("pre_provision", CONTEXT))
    alive = await asyncio.to_thread((folder / "alive").open, "rb")
    with alive:
        assert await asyncio.to_thread(alive.readline) == b"begun\n"
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.wait_for(asyncio.to_thread(alive.read), 30) == b""


async def test_cancelling_twice_does_not_wait_for_the_grace(script, folder) -> None:
    """The second time kills at once."""
    os.mkfifo(folder / "alive")
    script("#!/bin/sh\nexec 9>alive\ntrap 'echo asked >&9' TERM\necho begun >&9\nwhile :; do sleep 600 & wait; done\n")
    running = run_process(
        [str(folder / "scripts" / "hook.sh")],
        folder=folder,
        environment={"PATH": os.environ["PATH"]},
        stdin=b"",
        timeout_seconds=600,
        grace_seconds=600,
    )
    task = asyncio.ensure_future(running)
    alive = await asyncio.to_thread((folder / "alive").open, "rb")
    with alive:
        for expected in (b"begun\n", b"asked\n"):
            assert await asyncio.to_thread(alive.readline) == expected
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.wait_for(asyncio.to_thread(alive.read), 30) == b""


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def has_zombie() -> bool:
    """Whether a child of this process has ended and nobody has asked how."""
    try:
        return os.waitpid(-1, os.WNOHANG) != (0, 0)
    except ChildProcessError:  # there is no child at all
        return False


async def test_no_zombie_and_no_open_file_is_left(runner, script) -> None:
    """After many runs, at once and failed ones too."""
    hooks = runner(script("#!/bin/sh\nexit 1\n"))
    await failing(hooks)
    before = open_files()
    await asyncio.gather(*(failing(hooks) for _ in range(20)))
    assert open_files() == before
    assert not has_zombie()


# Runners and texts


async def test_no_hooks_cost_nothing(told) -> None:
    """An empty runner is false, and running it runs nothing."""
    none = HookRunner.none()
    assert not none
    assert not none.has("pre_update")
    assert await none.run("pre_update", CONTEXT) == ()


def test_a_registrys_runner_has_its_hooks(folder) -> None:
    """By kind."""
    value = {
        "registry_version": "2.0",
        "customer_info": {"customer_code": "a"},
        "database_groups": {},
        "hooks": {"pre_update": ["a.sh"], "post_provision": []},
    }
    runner = HookRunner.of_registry(Registry.model_validate(value), folder=folder, project=folder)
    assert runner
    assert runner.has("pre_update")
    assert not runner.has("post_provision")


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (b"postgres://u:secret@h/d?password=more", "postgres://u:***@h/d?password=***"),
        (b'{"url":"mysql://u:p@ss@h/d"}', '{"url":"mysql://u:***@h/d"}'),
        (b"host=h password=secret user=u", "host=h password=*** user=u"),
        (b"PGPASSWORD='a b' psql", "PGPASSWORD=*** psql"),
        (b"https://example.com/a:b?c=d", "https://example.com/a:b?c=d"),
        (b"no password was given", "no password was given"),
    ],
)
def test_passwords_are_masked(output: bytes, shown: str) -> None:
    """In URLs and in keywords."""
    assert shown_output(output) == shown


def test_a_password_that_the_bound_cuts_in_half_is_not_shown() -> None:
    """More is kept than is shown, so that the beginning of a URL is there to be recognised."""
    url = b"postgresql://u:" + b"secret" * 8 + b"@h/d "
    for cut in range(len(url)):
        output = (b"x " * KEPT_BYTES)[: KEPT_BYTES - OUTPUT_BYTES - cut] + url
        whole = output + b"y" * (OUTPUT_BYTES - len(url) + cut)
        assert "secret" not in shown_output(whole[-KEPT_BYTES:])


def test_a_password_cut_in_half_is_not_shown_where_masking_makes_room() -> None:
    """What is masked is shorter than what was there; the front stays out of sight all the same."""
    masked = b"postgresql://u:" + b"y" * 1000 + b"@h/d "
    assert "secret" not in shown_output((b"secret@h/d " + masked * 40)[:KEPT_BYTES])


def test_masking_a_long_line_takes_no_time() -> None:
    """No input makes the search quadratic."""
    began = time.monotonic()
    for text in (b"a.", b"password", b"://", b"a://", b"password='\\"):
        shown_output(text * KEPT_BYTES)
    assert time.monotonic() - began < 5
