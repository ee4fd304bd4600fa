"""The text of one file as a migration. Three kinds of files, told apart by their names:

- dbmate's ``20261121_add_plan.sql``: a section after ``-- migrate:up`` and mostly one after ``-- migrate:down``, each with
  ``transaction:false`` if its statements refuse a transaction; only comments may stand before them;
- Flyway's ``V1_2__add_plan.sql``, the whole of which is version 1.2; ``U1_2__….sql`` says how to undo it;
- plain SQL, ``v2.1.sql`` or ``2.1_add_plan.sql``: the whole file, or sections as dbmate's.

A comment line ``-- manor:squashes 1 2 3`` before the first statement says which versions a migration stands for. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from manor.control.migrate.file_names import Kind, Misnamed, read_name
from manor.control.migrate.model import Migration, Section, ordered, version_key
from manor.control.migrate.sections import read_sections
from manor.errors import Finding, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one file says about one version; Flyway's down sections stand in files of their own."""

    version: str
    name: str
    kind: Kind
    place: Place = field(compare=False)
    up: Section | None = None
    down: Section | None = None
    squashes: tuple[str, ...] = ()


def parse_migration(content: bytes | str, file_name: str, *, shown_as: str) -> tuple[Migration | None, list[Finding]]:
    """The migration in one file, which findings call ``shown_as``; None if there is something wrong with it."""
    part, findings = parse_part(content, file_name, shown_as=shown_as)
    if part is None:
        return None, findings
    migrations, more = assemble([part])
    return (migrations[0] if migrations and not more else None), [*findings, *more]


def parse_part(content: bytes | str, file_name: str, *, shown_as: str) -> tuple[Part | None, list[Finding]]:
    """What one file says; None together with findings if it cannot be used."""
    name = read_name(file_name)
    if isinstance(name, Misnamed):
        return None, [Finding(message=name.message, place=Place(shown_as), hint=name.hint)]
    text = content if isinstance(content, str) else _decode(content, shown_as)
    if isinstance(text, Finding):
        return None, [text]
    sections, findings = read_sections(text.removeprefix("\ufeff"), name, shown_as=shown_as)
    if sections is None:
        return None, findings
    part = Part(
        version=name.version,
        name=name.name,
        kind=name.kind,
        place=Place(shown_as, 1, 1),
        up=sections.up,
        down=sections.down,
        squashes=sections.squashes,
    )
    return part, findings


def assemble(parts: Sequence[Part]) -> tuple[tuple[Migration, ...], list[Finding]]:
    """The migrations that ``parts`` make, by version, each undo with the one that it undoes; findings about all together."""
    undos = {version_key(part.version): part for part in parts if part.kind is Kind.UNDO}
    migrations, findings = [], []
    for part in parts:
        if part.up is None:
            continue
        undo = undos.pop(version_key(part.version), None)
        down = undo.down if undo is not None and part.kind is Kind.FLYWAY else part.down
        migrations.append(
            Migration(version=part.version, name=part.name, up=part.up, down=down, place=part.place, squashes=part.squashes)
        )
    for part in undos.values():
        message = f"this undoes version {part.version}, but there is no file V{part.version}__….sql"
        findings.append(Finding(message=message, place=part.place))
    return ordered(migrations), [*findings, *chain_findings(migrations)]


def chain_findings(migrations: Sequence[Migration]) -> list[Finding]:
    """What is wrong with ``migrations`` as one chain: a version twice, or a squashed one whose file is still there."""
    findings: list[Finding] = []
    first: dict[tuple[int, ...], Migration] = {}
    for migration in migrations:
        known = first.setdefault(version_key(migration.version), migration)
        if known is not migration:
            same = (
                "" if known.version == migration.version else f" ({known.version} and {migration.version} are the same number)"
            )
            message = f"version {migration.version} stands twice: also in {known.place.file}{same}"
            findings.append(Finding(message=message, place=migration.place, hint="give one of them another version"))
    for migration in migrations:
        findings.extend(_squash_findings(migration, first))
    return findings


def _squash_findings(migration: Migration, first: dict[tuple[int, ...], Migration]) -> Iterator[Finding]:
    for version in migration.squashes:
        key = version_key(version)
        if key >= version_key(migration.version):
            message = f"version {migration.version} cannot stand for {version}: it must be newer than what it stands for"
            yield Finding(message=message, place=migration.place, hint="give it a version after the last that it squashes")
        elif key in first:
            message = f"version {version} is squashed into {migration.version}, but {first[key].place.file} is still there"
            hint = "remove the squashed files, or the versions from the line -- manor:squashes"
            yield Finding(message=message, place=migration.place, hint=hint)


def _decode(content: bytes, shown_as: str) -> str | Finding:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        place = Place(shown_as, before.count(b"\n") + 1, len(before) - before.rfind(b"\n"))
        return Finding(message="the file is not UTF-8", place=place, hint="save it as UTF-8")
