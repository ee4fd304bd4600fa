"""``manor migration lint``: what every migration of a project, or of some files, does to the databases. Needs no server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from manor.control.migrate.files import parse_migration
from manor.control.migrate.folder import MAX_FILE_BYTES, read_folder
from manor.control.migrate.lint import Hit, Judged, lint, unpreparable
from manor.control.migrate.model import Direction, Migration
from manor.control.operations.migrations import Whereabouts
from manor.control.operations.release_sources import ReleaseSources
from manor.control.templates.folders import read_bytes
from manor.errors import EXIT_BAD_INPUT, EXIT_OK, Finding, InputError, InvalidInput, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Linted:
    """One section of one migration."""

    migration: Migration
    direction: Direction
    statements: tuple[Judged, ...]
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LintReport:
    """What the lint found."""

    sections: tuple[Linted, ...]
    findings: tuple[Finding, ...]
    """Files that cannot be read as migrations, and chains that do not fit together."""

    @property
    def hits(self) -> tuple[Hit, ...]:
        """All remarks, in the order of the files."""
        return tuple(hit for section in self.sections for hit in section.hits)

    @property
    def exit_code(self) -> int:
        """2 if something cannot work, else 0."""
        failed = bool(self.findings) or any(hit.severity == "error" for hit in self.hits)
        return EXIT_BAD_INPUT if failed else EXIT_OK

    def to_json(self) -> dict[str, Any]:
        """The document of ``--format json``."""
        return {
            "migrations": len({section.migration.place for section in self.sections}),
            "statements": [_statement(section, one) for section in self.sections for one in section.statements],
            "hits": [_hit(hit) for hit in self.hits],
            "findings": [{"place": str(f.place), "message": f.message, "hint": f.hint} for f in self.findings],
        }


def lint_files(project: Path, files: Sequence[Path], *, atomic: bool) -> LintReport:
    """Single files, wherever they are. ``atomic``: what cannot be prepared is an error."""
    migrations: list[Migration] = []
    findings: list[Finding] = []
    for path in files:
        shown = path.relative_to(project).as_posix() if path.is_relative_to(project) else str(path)
        try:
            migration, problems = parse_migration(read_bytes(path, MAX_FILE_BYTES), path.name, shown_as=shown)
        except InputError as error:
            migration, problems = None, [Finding(message=error.message, place=Place(shown), hint=error.hint)]
        migrations += [migration] if migration is not None else []
        findings += problems
    return _report(migrations, findings, atomic=atomic)


def lint_project(where: Whereabouts, *, atomic: bool) -> LintReport:
    """Every folder that a template of the project's registries takes migrations from."""
    sources = ReleaseSources(where.project)
    findings: list[Finding] = []
    migrations: dict[Path, Sequence[Migration]] = {}
    for source in map(where.source, where.registries()):
        try:
            for template in sources.templates(source):
                for folder in sources.folders(source, template):
                    migrations[folder] = migrations.get(folder) or _read(where, folder)
            sources.chains((source, template) for template in sources.templates(source))
        except InvalidInput as error:
            findings += error.findings
        except InputError as error:
            findings.append(Finding(message=error.message, place=error.place or Place(source), hint=error.hint))
    return _report((m for found in migrations.values() for m in found), dict.fromkeys(findings), atomic=atomic)


def _read(where: Whereabouts, folder: Path) -> Sequence[Migration]:
    """What can be read; the chains tell what cannot."""
    return read_folder(folder, shown_as=where.source(folder), project=where.project)[0]


def _report(migrations: Iterable[Migration], findings: Iterable[Finding], *, atomic: bool) -> LintReport:
    sections = [section for migration in migrations for section in _sections(migration, atomic=atomic)]
    return LintReport(sections=tuple(sections), findings=tuple(findings))


def _sections(migration: Migration, *, atomic: bool) -> Iterator[Linted]:
    for direction in Direction:
        section = migration.section(direction)
        if section is None:
            continue
        found = lint(section)
        hits = list(found.hits)
        if atomic:
            hits = [hit for hit in hits if hit.rule != "unpreparable"] + unpreparable(section)
        yield Linted(migration=migration, direction=direction, statements=found.statements, hits=tuple(hits))


def _statement(section: Linted, one: Judged) -> dict[str, Any]:
    return {
        "version": section.migration.version,
        "direction": str(section.direction),
        "place": str(one.statement.place),
        "kind": one.kind,
        "table": one.table,
        "lock": str(one.lock) if one.lock else "",
        "rewrites": one.rewrites,
        "scans": one.scans,
    }


def _hit(hit: Hit) -> dict[str, Any]:
    return {
        "rule": hit.rule,
        "severity": str(hit.severity),
        "place": str(hit.place),
        "message": hit.message,
        "hint": hit.hint,
        "statement": hit.statement,
    }
