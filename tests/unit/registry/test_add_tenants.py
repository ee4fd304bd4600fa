"""``add-tenants`` changes one number of the registry and not one byte more, whoever else edits it and whatever dies."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from manor.control.registry.count_edit import set_tenant_count
from manor.control.registry.yaml_files import add_tenants, load_registry
from manor.errors import ConflictError, InputError, NotFoundError, RefusedError
from manor.yaml_reader import parse_yaml

GROUP = "saas_standard_tenants"


@pytest.fixture
def registry(data: Path, tmp_path: Path) -> Path:
    path = tmp_path / "tenant_registry.yaml"
    path.write_bytes((data / "reference_registry.yaml").read_bytes())
    return path


def test_only_the_bytes_of_the_count_change(registry: Path) -> None:
    before = registry.read_bytes()
    change = add_tenants(registry, GROUP, 20)
    assert (change.before, change.after, change.first_id, change.last_id) == (100, 120, "101", "120")
    assert registry.read_bytes() == before.replace(b"tenant_count: 100 ", b"tenant_count: 120 ")
    assert before.count(b"tenant_count: 100 ") == 1


def test_nothing_is_left_beside_the_file(registry: Path) -> None:
    add_tenants(registry, GROUP, 1)
    assert [path.name for path in registry.parent.iterdir()] == ["tenant_registry.yaml"]


def test_a_dry_run_says_the_same_and_writes_nothing(registry: Path) -> None:
    before = registry.read_bytes()
    dry = add_tenants(registry, GROUP, 20, dry_run=True)
    assert registry.read_bytes() == before
    assert dry == add_tenants(registry, GROUP, 20)


def test_mode_and_owner_stay(registry: Path) -> None:
    registry.chmod(0o640)
    before = registry.stat()
    add_tenants(registry, GROUP, 1)
    after = registry.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_symbolic_link_stays_one_and_its_file_is_edited(registry: Path) -> None:
    link = registry.parent / "link.yaml"
    link.symlink_to(registry.name)
    add_tenants(link, GROUP, 1)
    assert link.is_symlink()
    assert b"tenant_count: 101 " in registry.read_bytes()


HEAD = "registry_version: '2.0'\ncustomer_info: {customer_code: a}\n"

SHAPES = [
    pytest.param(
        "database_groups:\n  g: {type: tenant_group, tenant_count: 5, template: t}\n",
        "database_groups:\n  g: {type: tenant_group, tenant_count: 7, template: t}\n",
        id="flow",
    ),
    pytest.param(
        'database_groups: {"g": {"type": "tenant_group", "template": "t"}}\n',
        'database_groups: {"g": {"tenant_count": 2, "type": "tenant_group", "template": "t"}}\n',
        id="flow, absent, quoted keys",
    ),
    pytest.param(
        "database_groups:\n  g:\n    # first\n    type: tenant_group # kind\n\n    # then\n    template: t\n",
        "database_groups:\n  g:\n    # first\n    type: tenant_group # kind\n    tenant_count: 2\n\n"
        "    # then\n    template: t\n",
        id="absent",
    ),
    pytest.param(
        "database_groups:\n  g:\n    template: t\n    type: tenant_group",
        "database_groups:\n  g:\n    template: t\n    type: tenant_group\n    tenant_count: 2",
        id="absent, no line end",
    ),
    pytest.param(
        "database_groups:\r\n  g:\r\n    type: tenant_group\r\n    template: t\r\n",
        "database_groups:\r\n  g:\r\n    type: tenant_group\r\n    tenant_count: 2\r\n    template: t\r\n",
        id="absent, CRLF",
    ),
    pytest.param(
        "database_groups:\n  g:\n    type: >-\n      tenant_group\n    template: t\n",
        "database_groups:\n  g:\n    type: >-\n      tenant_group\n    template: t\n    tenant_count: 2\n",
        id="absent, folded type",
    ),
    pytest.param(
        "database_groups:\n  f: &d {type: tenant_group, tenant_count: 5, template: t}\n  g:\n    <<: *d\n    template: u\n",
        "database_groups:\n  f: &d {type: tenant_group, tenant_count: 5, template: t}\n"
        "  g:\n    tenant_count: 7\n    <<: *d\n    template: u\n",
        id="merged",
    ),
    pytest.param(
        "database_groups:\n  f: {type: tenant_group, tenant_count: &n 5}\n  g: {type: tenant_group, tenant_count: *n }\n",
        "database_groups:\n  f: {type: tenant_group, tenant_count: &n 5}\n  g: {type: tenant_group, tenant_count: 7 }\n",
        id="alias",
    ),
    pytest.param(
        "database_groups:\n  g: {type: tenant_group, tenant_count: &n !!int 5}\n",
        "database_groups:\n  g: {type: tenant_group, tenant_count: &n !!int 7}\n",
        id="anchor and tag",
    ),
    pytest.param(
        "# 顧客 😀\ndatabase_groups:\n  '😀': {}\n  g:\n    type: tenant_group # 標準\n    tenant_count: 5 # 数\n",
        "# 顧客 😀\ndatabase_groups:\n  '😀': {}\n  g:\n    type: tenant_group # 標準\n    tenant_count: 7 # 数\n",
        id="not ASCII",
    ),
    pytest.param(
        "database_groups:\n  g:\n    type: tenant_group\n    variables: {tenant_count: '5'}\n    tenant_count: 0x5\n",
        "database_groups:\n  g:\n    type: tenant_group\n    variables: {tenant_count: '5'}\n    tenant_count: 7\n",
        id="another of the name",
    ),
]


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "BOM"])
@pytest.mark.parametrize(("before", "after"), SHAPES)
def test_every_way_to_write_a_group_can_be_edited(tmp_path: Path, before: str, after: str, mark: str) -> None:
    path = tmp_path / "registry.yaml"
    path.write_bytes((mark + HEAD + before).encode())
    change = add_tenants(path, "g", 2)
    assert path.read_bytes() == (mark + HEAD + after).encode()
    assert change.after - change.before == 2


def test_a_count_that_others_share_is_refused_and_they_are_named(tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    text = "database_groups:\n  g: &d {type: tenant_group, tenant_count: 5}\n  h: {<<: *d}\n  i: {<<: *d, tenant_count: 1}\n"
    path.write_text(HEAD + text)
    with pytest.raises(RefusedError, match=r"would also change database_groups\.h\.tenant_count$") as error:
        add_tenants(path, "g", 2)
    assert error.value.place is not None
    assert error.value.place.line == 4
    assert path.read_text() == HEAD + text


def test_a_group_that_is_only_an_alias_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text(HEAD + "database_groups:\n  g: &d {type: tenant_group, tenant_count: 5}\n  h: *d\n")
    with pytest.raises(RefusedError, match="h is not written out"):
        add_tenants(path, "h", 2)


MISTAKES = [
    pytest.param("nobody", 1, NotFoundError, "there is no group 'nobody'", id="unknown group"),
    pytest.param("fixed_databases", 1, InputError, "fixed_databases is not a tenant group", id="fixed group"),
    pytest.param(GROUP, 0, InputError, "must be at least 1, found 0", id="zero"),
    pytest.param(GROUP, -5, InputError, "must be at least 1, found -5", id="negative"),
    pytest.param(GROUP, 99_901, InputError, "would have 100,001 tenants, 100,000 are allowed", id="too many"),
]


@pytest.mark.parametrize(("group", "count", "kind", "message"), MISTAKES)
def test_a_mistake_changes_nothing(registry: Path, group: str, count: int, kind: type[Exception], message: str) -> None:
    before = registry.read_bytes()
    with pytest.raises(kind, match=message):
        add_tenants(registry, group, count)
    assert registry.read_bytes() == before
    assert [path.name for path in registry.parent.iterdir()] == ["tenant_registry.yaml"]


@pytest.mark.parametrize("count", ['"5"', "many", "-1", "true", "[]"])
def test_a_count_that_is_no_number_is_an_error_at_its_place(tmp_path: Path, count: str) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text(HEAD + f"database_groups:\n  g:\n    type: tenant_group\n    tenant_count: {count}\n")
    with pytest.raises(InputError, match=r":6:19: tenant_count must be a whole number"):
        add_tenants(path, "g", 1)


def test_an_id_format_that_is_not_plain_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text(HEAD + "database_groups:\n  g:\n    type: tenant_group\n    tenant_id_format: '{0.__class__}'\n")
    with pytest.raises(InputError, match="tenant_id_format must be a plain format"):
        add_tenants(path, "g", 1)


def test_a_file_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        add_tenants(tmp_path / "none.yaml", "g", 1)


def test_a_lock_that_somebody_holds_is_a_conflict(registry: Path) -> None:
    lock = registry.with_name(".tenant_registry.yaml.lock")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ConflictError, match="somebody else has been editing the registry"):
            add_tenants(registry, GROUP, 1, lock_wait_seconds=0)
    assert b"tenant_count: 100 " in registry.read_bytes()


def test_a_lock_file_that_a_dead_command_left_does_not_matter(registry: Path) -> None:
    registry.with_name(".tenant_registry.yaml.lock").write_text("")
    registry.with_name(".tenant_registry.yaml.new").write_text("half of it")
    assert add_tenants(registry, GROUP, 1, lock_wait_seconds=0).after == 101
    assert [path.name for path in registry.parent.iterdir()] == ["tenant_registry.yaml"]


ADD_MANY = """
import sys
from pathlib import Path
from manor.control.registry.yaml_files import add_tenants
for _ in range(15):
    add_tenants(Path(sys.argv[1]), "saas_standard_tenants", 1)
"""


def test_two_commands_at_once_both_count(registry: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", ADD_MANY, str(registry)]) for _ in range(2)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    assert b"tenant_count: 130 " in registry.read_bytes()
    assert [path.name for path in registry.parent.iterdir()] == ["tenant_registry.yaml"]


DIE_AT = """
import os, pathlib, signal, sys
from pathlib import Path
from manor.control.registry import yaml_files
moment, path = sys.argv[1], Path(sys.argv[2])
def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)
if moment == "sync":
    os.fsync = die
elif moment == "rename":
    pathlib.Path.replace = die
else:
    yaml_files._sync_folder = die
yaml_files.add_tenants(path, "saas_standard_tenants", 20)
"""


@pytest.mark.parametrize(("moment", "count"), [("sync", 100), ("rename", 100), ("after", 120)])
def test_a_kill_at_any_moment_leaves_the_old_file_or_the_new_one(registry: Path, moment: str, count: int) -> None:
    before = registry.read_bytes()
    done = subprocess.run([sys.executable, "-c", DIE_AT, moment, str(registry)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert registry.read_bytes() == before.replace(b"tenant_count: 100 ", f"tenant_count: {count} ".encode())
    assert add_tenants(registry, GROUP, 1, lock_wait_seconds=0).after == count + 1


def test_a_folder_that_cannot_be_written_is_an_input_error(registry: Path) -> None:
    before = registry.read_bytes()
    registry.with_name(".tenant_registry.yaml.new").mkdir()
    with pytest.raises(InputError, match="the registry cannot be edited"):
        add_tenants(registry, GROUP, 1)
    assert registry.read_bytes() == before


def test_the_edited_registry_resolves_to_that_many_more(registry: Path) -> None:
    add_tenants(registry, GROUP, 3)
    model = load_registry(registry).model
    assert model is not None
    assert model.database_groups[GROUP].tenant_count == 103


def test_the_edit_itself_is_pure_and_repeatable() -> None:
    text = "database_groups: {g: {type: tenant_group, tenant_count: 5}}"
    once = set_tenant_count(text, "g", 123_456, file="f")
    assert set_tenant_count(once, "g", 5, file="f") == text
    assert parse_yaml(once, "f").value["database_groups"]["g"]["tenant_count"] == 123_456
