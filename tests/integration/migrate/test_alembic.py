"""Alembic environments as folders of migrations: made by Alembic itself, read by Manor, released to a real fleet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from manor.control.migrate import alembic_source
from manor.control.migrate.folder import read_folder
from manor.control.migrate.history import Chain, ProblemCode, pending
from manor.control.migrate.model import Applied

REVISION = """\
\"\"\"{doc}\"\"\"
import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {down!r}
branch_labels = None
depends_on = None


def upgrade():
    {up}


def downgrade():
    {undo}
"""
PLANS = """op.create_table("plans", sa.Column("id", sa.Integer, primary_key=True), sa.Column("rate", sa.String(20)))
    plans = sa.table("plans", sa.column("id", sa.Integer), sa.column("rate", sa.String))
    op.bulk_insert(plans, [{"id": 1, "rate": "5% ';'"}])"""
INDEX = """with op.get_context().autocommit_block():
        op.create_index("plans_rate", "plans", ["rate"], postgresql_concurrently=True)"""
COLUMN = """op.add_column("plans", sa.Column("name", sa.Text))"""


def add(folder: Path, revision: str, down: str | tuple[str, ...] | None, up: str, undo: str = "pass", doc: str = "") -> Path:
    """Write a revision."""
    file = folder / "versions" / f"{revision}.py"
    file.write_text(REVISION.format(revision=revision, down=down, up=up, undo=undo, doc=doc or f"what {revision} does"))
    return file


def make(folder: Path) -> Path:
    """An environment of four revisions as ``alembic init`` makes it, its alembic.ini beside it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "alembic", "-q", "init", folder.name]
    subprocess.run(command, cwd=folder.parent, check=True, capture_output=True, timeout=120)
    add(folder, "f00a", None, PLANS, 'op.drop_table("plans")', doc="Add plans")
    add(folder, "a11b", "f00a", INDEX, "raise NotImplementedError")
    add(folder, "c22c", "a11b", "pass")
    add(folder, "b33d", "c22c", COLUMN, 'op.drop_column("plans", "name")')
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The environment's folder in an otherwise empty project."""
    return make(tmp_path / "a project" / "migrations")


def read(folder: Path) -> tuple[Any, list[str]]:
    """Migrations, and findings as text."""
    migrations, findings = read_folder(folder, shown_as="migrations", project=folder.parent)
    return migrations, [str(finding) for finding in findings]


def edit(file: Path, before: str, after: str) -> None:
    """Change a file in one place."""
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))


def test_revisions_become_migrations_in_their_order(environment: Path) -> None:
    """Numbered from the first, named by id and message, with the SQL that Alembic would print and nothing around it."""
    migrations, findings = read(environment)
    assert findings == []
    assert [m.label for m in migrations] == [
        "0001_f00a_add_plans",
        "0002_a11b_what_a11b_does",
        "0003_c22c_what_c22c_does",
        "0004_b33d_what_b33d_does",
    ]
    first = migrations[0]
    assert first.up.text.startswith("-- alembic revision f00a\nCREATE TABLE plans (")
    assert """INSERT INTO plans (id, rate) VALUES (1, '5%% '';''')""" not in first.up.text
    assert """INSERT INTO plans (id, rate) VALUES (1, '5% '';''');""" in first.up.text
    assert "alembic_version" not in first.up.text
    assert first.down.text == "DROP TABLE plans;\n"
    assert str(first.place) == "migrations/versions/f00a.py:1:1"


def test_an_autocommit_block_makes_a_migration_outside_transactions(environment: Path) -> None:
    """And a downgrade that only raises, or does nothing, is none."""
    migrations, _ = read(environment)
    index, nothing = migrations[1], migrations[2]
    assert not index.up.transaction
    assert index.up.text == "-- alembic revision a11b\nCREATE INDEX CONCURRENTLY plans_rate ON plans (rate);\n"
    assert (index.down, nothing.down) == (None, None)
    assert nothing.up.text.strip() == "-- alembic revision c22c"


def test_a_line_put_together_anew_is_an_edited_history(environment: Path) -> None:
    """Even of revisions that do the same: the id is part of the checksum."""
    before, _ = read(environment)
    (environment / "versions" / "c22c.py").unlink()
    add(environment, "e55f", "a11b", "pass")
    edit(environment / "versions" / "b33d.py", "'c22c'", "'e55f'")
    after, findings = read(environment)
    assert findings == []
    applied = [Applied(version=m.version, checksum=m.checksum) for m in before]
    problems = pending(Chain.of(after), applied).problems
    assert [(p.code, p.version) for p in problems] == [(ProblemCode.EDITED, "0003")]


def test_an_environment_is_read_once_while_its_files_stay_as_they_are(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many tenants there are; a changed file is noticed."""
    started: list[Any] = []
    real = subprocess.Popen

    def counting(*arguments: Any, **options: Any) -> Any:
        started.append(arguments)
        return real(*arguments, **options)

    monkeypatch.setattr(alembic_source.subprocess, "Popen", counting)
    first, _ = read(environment)
    for _ in range(3):
        assert read(environment)[0] == first
    assert len(started) == 1
    edit(environment / "versions" / "b33d.py", "sa.Text", "sa.Integer")
    assert "INTEGER" in read(environment)[0][3].up.text
    assert len(started) == 2


def test_branches_and_merges_are_refused(environment: Path) -> None:
    """A tenant's history is one line."""
    add(environment, "d44e", "c22c", "pass")
    migrations, (finding,) = read(environment)
    assert migrations == ()
    assert "several last revisions (b33d, d44e)" in finding
    add(environment, "e55f", ("b33d", "d44e"), "pass")
    assert "e55f merges branches" in read(environment)[1][0]


def test_a_revision_that_asks_the_database_is_named_with_its_line(environment: Path) -> None:
    """The others are read."""
    file = environment / "versions" / "b33d.py"
    edit(file, COLUMN, "op.get_bind().execute(sa.text('SELECT 1')).scalar()")
    migrations, (finding,) = read(environment)
    line = next(number for number, text in enumerate(file.read_text().splitlines(), 1) if "get_bind" in text)
    assert finding.startswith(f"migrations/versions/b33d.py:{line}:1: this revision is no SQL")
    assert "op.execute" in finding
    assert len(migrations) == 3


def test_percent_signs_are_never_doubled(environment: Path) -> None:
    """An env.py that would make it so is told what to write."""
    edit(environment / "env.py", 'dialect_opts={"paramstyle": "named"},', "")
    _, (finding,) = read(environment)
    assert "'paramstyle': 'named'" in finding


def test_a_broken_env_py_is_a_finding_without_passwords(environment: Path) -> None:
    """With the line of env.py."""
    with (environment / "env.py").open("a") as file:
        file.write("\nraise ValueError('cannot reach postgresql://app:hunter2@db/x')\n")
    _, (finding,) = read(environment)
    assert "ValueError: cannot reach postgresql://app:***@db/x" in finding
    assert finding.startswith("migrations/env.py:")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os; os._exit(7)", "ended with exit code 7"),
        ("raise SystemExit('not today')", "SystemExit: not today"),
        ("import signal; signal.pause()", "did not end within"),
    ],
)
def test_a_process_that_dies_or_hangs_is_a_finding(
    environment: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    """It is killed with all that it started, and what it prints harms nobody."""
    if "pause" in code:
        monkeypatch.setattr(alembic_source, "LIMIT_SECONDS", 2.0)
    with (environment / "env.py").open("a") as file:
        file.write(f"\nprint('not JSON', flush=True)\n{code}\n")
    migrations, (finding,) = read(environment)
    assert migrations == ()
    assert said in finding


def test_the_users_code_is_given_no_keys_and_leaves_no_files(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other variables, which env.py may read, stay."""
    monkeypatch.setenv("MANOR_KEY", "secret")
    monkeypatch.setenv("APP_MODE", "x")
    with (environment / "env.py").open("a") as file:
        file.write("\nimport os\nprint('anything')\nassert 'MANOR_KEY' not in os.environ and os.environ['APP_MODE'] == 'x'\n")
    before = sorted(environment.rglob("*"))
    assert read(environment)[1] == []
    assert sorted(environment.rglob("*")) == before


def test_without_alembic_the_folder_says_what_to_install(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an optional part."""
    monkeypatch.setattr(alembic_source.importlib.util, "find_spec", lambda _: None)
    _, (finding,) = read(environment)
    assert "pip install 'manor[alembic]'" in finding


def test_nothing_outside_the_project_is_run(environment: Path, tmp_path: Path) -> None:
    """Nor is a migration beside the environment passed over in silence."""
    outside = tmp_path / "x.py"
    outside.write_text("raise RuntimeError\n")
    (environment / "versions" / "linked.py").symlink_to(outside)
    (environment / "1_a.sql").write_text("-- migrate:up\nSELECT 1;\n")
    _, findings = read(environment)
    assert len(findings) == 2
    assert "linked.py is outside the project" in findings[0]
    assert findings[1].startswith("migrations/1_a.sql:1:1: this file stands in an Alembic environment")


def test_a_fleet_is_released_from_alembic_and_gets_alembics_own_schema(
    project: Path, manor: Callable[..., subprocess.CompletedProcess[str]], server_url: str
) -> None:
    """Tenants, new and old, have the columns and indexes that ``alembic upgrade head`` makes online in an empty database."""
    folder = make(project / "customer_a" / "migrations")

    def done(*words: str, code: int = 0) -> Any:
        ended = manor("--format", "json", *words)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return json.loads(ended.stdout)

    def shape(database: str) -> list[tuple[Any, ...]]:
        query = """SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = 'plans'
            UNION ALL SELECT indexname, indexdef, '' FROM pg_indexes WHERE tablename = 'plans' ORDER BY 1"""
        with psycopg.connect(server_url, dbname=database) as connection:
            return [*connection.execute(query), *connection.execute("SELECT id, rate FROM plans")]

    registry = project / "customer_a" / "tenant_registry.yaml"
    for file in ("a11b", "c22c", "b33d"):
        (folder / "versions" / f"{file}.py").rename(folder / f"{file}.later")
    done("multi-tenant", "deploy", "--registry", str(registry))
    for file in ("a11b", "c22c", "b33d"):
        (folder / f"{file}.later").rename(folder / "versions" / f"{file}.py")
    done("tenant", "migrate", "--all", "--strategy", "rolling")
    registry.write_text(registry.read_text().replace("tenant_count: 4", "tenant_count: 5"))
    done("multi-tenant", "deploy", "--registry", str(registry))
    chain = next(c for c in done("migration", "status")["chains"] if c["template"] == "tenant_type1")
    assert chain["versions"] == [{"version": "0004", "tenants": 5}]
    done("migration", "lint")
    assert done("migration", "new", "x", code=3)["error"]["hint"] == "alembic revision -m x"

    with psycopg.connect(server_url, dbname="postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE by_alembic")
    ini, url = project / "customer_a" / "alembic.ini", psycopg.conninfo.conninfo_to_dict(server_url)
    target = f"postgresql+psycopg://{url['user']}@/by_alembic?host={url['host']}"
    edit(ini, "driver://user:pass@localhost/dbname", target.replace("%", "%%"))
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    variables = {**os.environ, "PGPASSWORD": str(url.get("password", "")), "PGPORT": str(url.get("port", "5432"))}
    ended = subprocess.run(command, cwd=ini.parent, check=False, capture_output=True, text=True, timeout=120, env=variables)
    assert ended.returncode == 0, ended.stderr
    assert shape("acme_t_001") == shape("acme_t_005") == shape("by_alembic")
