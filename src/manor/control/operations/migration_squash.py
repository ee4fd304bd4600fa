"""``manor migration squash``: one file that stands for all migrations of a folder up to a version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from manor.control.migrate.alembic_source import is_environment
from manor.control.migrate.file_names import Misnamed, read_name
from manor.control.migrate.files import parse_migration
from manor.control.migrate.folder import read_folder
from manor.control.migrate.history import Chain
from manor.control.migrate.lint import lint
from manor.control.migrate.model import Migration, version_key
from manor.control.migrate.plan import history_of
from manor.control.migrate.squash import squash_text, squash_version
from manor.control.operations.migrations import Whereabouts
from manor.control.operations.release_sources import ReleaseSources
from manor.control.runtime import Runtime
from manor.errors import InputError, InvalidInput, NotFoundError, Place, RefusedError, counted

_SHOWN = 20
"""Tenants that a refusal names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SquashPlan:
    """A file that can be written, and those that it stands for."""

    path: Path
    text: str
    version: str
    squashes: tuple[str, ...]
    files: tuple[Path, ...]
    """What must go before anything else can be done, undo files of Flyway included."""
    places: tuple[tuple[str, str], ...] = ()
    """(registry, template) of which tenants run the folded migrations."""
    baselines: tuple[str, ...] = ()
    """Registries whose ``migration_config.baseline`` must become ``version``."""


def plan_squash(where: Whereabouts, through: str) -> SquashPlan:
    """What would be written. Needs no server.

    Raises ``NotFoundError`` for a version that is not there, ``RefusedError`` where one transaction in one place of the order
    would not do the same, ``InvalidInput`` where what comes out could not be run.
    """
    sources = ReleaseSources(where.project)
    folder = where.folder(sources)
    folded = _folded(where, folder, through)
    chains = list(_chains(where, sources, folder))
    for _, chain in chains:
        _refuse_interleaved(chain, folded)
    places = tuple(place for place, _ in chains)
    baselines = tuple(dict.fromkeys(source for source, _ in places if _is_in_baseline(sources, source, folded)))
    newer = [m.version for _, c in chains for m in c.migrations if version_key(m.version) > version_key(folded[-1].version)]
    version = squash_version(folded[-1].version, min(newer, key=version_key, default=None))
    path = folder / f"{version}_squash.sql"
    text = squash_text(folded)
    _check(text, path.name, where.source(path))
    return SquashPlan(
        path=path,
        text=text,
        version=version,
        squashes=tuple(migration.version for migration in folded),
        files=tuple(_files(folder, folded)),
        places=places,
        baselines=baselines,
    )


async def refuse_behind(runtime: Runtime, plan: SquashPlan) -> None:
    """Raise ``RefusedError`` with the tenants that have not seen all that is folded, as the catalog knows it: with the files
    gone nothing could bring them there."""
    records = [r for r in await runtime.catalog.databases() if r.state == "ready" and (r.source, r.template) in plan.places]
    lineages = await runtime.catalog.lineages(record.golden for record in records)
    folded = {version_key(version) for version in plan.squashes}
    behind = []
    for record in records:
        _, history = history_of(record, lineages)
        if not folded <= {version_key(version) for version, _, _ in history}:
            behind.append(f"{record.tenant} (at {record.version or 'none'})")
    if behind:
        more = f" and {len(behind) - _SHOWN} more" if len(behind) > _SHOWN else ""
        last = plan.squashes[-1]
        raise RefusedError(
            f"{counted(len(behind), 'tenant')} did not see all migrations up to {last}: {', '.join(behind[:_SHOWN])}{more}",
            hint="bring them there with `manor tenant migrate` first, or squash through an older version; "
            "`manor migration status` counts them",
        )


def write_squash(plan: SquashPlan, *, delete_files: bool) -> None:
    """Write the file, and remove those that it stands for if ``delete_files``."""
    with plan.path.open("x", encoding="utf-8") as file:
        file.write(plan.text)
    for old in plan.files if delete_files else ():
        old.unlink()


def _folded(where: Whereabouts, folder: Path, through: str) -> Sequence[Migration]:
    shown = where.source(folder)
    if is_environment(folder):
        hint = "squash its revisions with Alembic's own means"
        raise RefusedError(f"{shown} is an Alembic environment, which keeps its own revisions", hint=hint)
    migrations, findings = read_folder(folder, shown_as=shown, project=where.project)
    if findings:
        raise InvalidInput(findings)
    position = Chain.of(migrations).position(through)
    if position is None:
        known = ", ".join(migration.version for migration in migrations[-5:])
        raise NotFoundError(f"there is no migration {through} in {shown}", hint=f"the newest there: {known}" if known else "")
    folded = migrations[: position + 1]
    if len(folded) == 1:
        raise InputError(f"{through} is the first migration in {shown}: there is nothing to fold it with")
    for migration in folded:
        _refuse_apart(migration)
    return folded


def _refuse_apart(migration: Migration) -> None:
    if not migration.up.transaction:
        raise RefusedError(
            f"{migration.label} runs outside transactions, and a squash is one transaction",
            place=migration.place,
            hint="squash through the version before it, or rewrite it without transaction:false, since new databases are empty",
        )


def _chains(where: Whereabouts, sources: ReleaseSources, folder: Path) -> Iterator[tuple[tuple[str, str], Chain]]:
    """Every chain of the project that the folder is a part of, with its registry and template."""
    registries = Whereabouts(project=where.project).registries()
    for source in dict.fromkeys(map(where.source, [*where.registries(), *registries])):
        places = [(source, t) for t in sources.templates(source) if folder in sources.folders(source, t)]
        yield from sources.chains(places).items()


def _refuse_interleaved(chain: Chain, folded: Sequence[Migration]) -> None:
    """One file has one place in the order; what other folders put in between would come before or after all of it."""
    first, last = (version_key(migration.version) for migration in (folded[0], folded[-1]))
    ours = {migration.place.file for migration in folded}
    for migration in chain.migrations:
        if first < version_key(migration.version) < last and migration.place.file not in ours:
            raise RefusedError(
                f"{migration.label} of another folder stands between {folded[0].version} and {folded[-1].version}",
                place=migration.place,
                hint="squash through the version before it",
            )


def _is_in_baseline(sources: ReleaseSources, source: str, folded: Sequence[Migration]) -> bool:
    """Whether the templates hold what is folded. Raises ``RefusedError`` where they hold a part of it."""
    baseline = version_key(sources.source(source).baseline)
    if baseline < version_key(folded[0].version):
        return False
    if baseline < version_key(folded[-1].version):
        raise RefusedError(
            f"the templates hold the migrations up to {sources.source(source).baseline} (migration_config.baseline), a part of "
            "what would become one",
            place=Place(source),
            hint="squash through that version",
        )
    return True


def _check(text: str, name: str, shown: str) -> None:
    migration, findings = parse_migration(text, name, shown_as=shown)
    if migration is None:
        raise InvalidInput(findings)
    errors = lint(migration.up).errors
    if errors:
        raise InvalidInput([hit.finding() for hit in errors])


def _files(folder: Path, folded: Sequence[Migration]) -> Iterator[Path]:
    keys = {version_key(migration.version) for migration in folded}
    for path in sorted(folder.glob("*.sql")):
        name = read_name(path.name)
        if not isinstance(name, Misnamed) and version_key(name.version) in keys:
            yield path
