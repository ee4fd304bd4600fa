"""One golden database per (template, schema digest, server): built once, verified, then only copied, and dropped once no
template and no database is of that digest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from manor.control.catalog.records import GoldenRecord
from manor.control.engines.driver import FoundDatabase, GoldenSpec, IsolatedColumn, Marker, ServerDriver
from manor.control.rollout.provision import Golden
from manor.control.runtime import Runtime, operation_token
from manor.control.templates.model import Template, bind_dataset


def golden_name(catalog: str, digest: str) -> str:
    """The database that holds the golden of a template digest."""
    return f"manor_golden_{catalog}_{digest[:16]}"


Migrate = Callable[[ServerDriver, Template], Awaitable[Golden]]
"""Makes a template's golden from its bare one, by running its migrations on a copy."""


async def ensure_goldens(
    runtime: Runtime, server: ServerDriver, templates: Iterable[Template], migrate: Migrate | None = None
) -> dict[str, Golden]:
    """The golden of each template by its recipe, building those that are not there. ``migrate``: for templates that stand at
    a release.

    Raises the engine's error for a schema that the server does not accept: no target of that template could be made either.
    """
    await server.prepare()
    recorded = {r.digest: r for r in await runtime.catalog.goldens(server.name)}
    present = await server.databases()
    goldens: dict[str, Golden] = {}
    by_digest: dict[str, Golden] = {}
    for template in templates:
        golden = by_digest.get(template.digest)
        record = recorded.get(template.digest)
        if golden is None and record is not None and _is_intact(record, present):
            golden = Golden(database=record.database, digest=record.digest, fingerprint=record.fingerprint)
        if golden is None and template.base_digest and migrate is not None:
            bare = replace(template, digest=template.base_digest, base_digest="")
            await ensure_goldens(runtime, server, [bare])
            golden = await migrate(server, template)
        if golden is None:
            golden = await _build(runtime, server, template)
        by_digest[template.digest] = goldens[template.recipe] = golden
    return goldens


def unused_goldens(
    present: Mapping[str, FoundDatabase], recorded: Iterable[GoldenRecord], catalog: str, used: AbstractSet[str]
) -> list[str]:
    """Names of this catalog's golden databases whose digest is not ``used`` and that nothing on the server was copied from;
    those that are gone and still recorded among them."""
    markers = {name: found.marker for name, found in present.items() if found.marker and found.marker.catalog == catalog}
    needed = used | {marker.digest for marker in markers.values() if marker.kind in ("tenant", "kept")}
    unused = {name for name, marker in markers.items() if marker.kind == "golden" and marker.digest not in needed}
    return sorted(unused | {r.database for r in recorded if r.database not in present and r.digest not in needed})


async def retire_goldens(runtime: Runtime, server: ServerDriver, names: Iterable[str]) -> None:
    """Drop golden databases that nothing needs any more."""
    for name in names:
        await runtime.still_alone()  # a successor may have come to need it
        # Forgotten last: what a kill leaves is still known, and dropping it again is no error.
        await server.drop_database(name)
        runtime.telemetry.emit("golden.dropped", runtime.operation, name, server=server.name)
        await runtime.catalog.drop_golden(server.name, name)
        runtime.telemetry.emit("golden.retired", runtime.operation, name, server=server.name)


def _is_intact(record: GoldenRecord, present: object) -> bool:
    found = present.get(record.database) if isinstance(present, dict) else None
    return found is not None and found.marker is not None and found.marker.digest == record.digest and not found.broken


async def _build(runtime: Runtime, server: ServerDriver, template: Template) -> Golden:
    name = golden_name(runtime.catalog.id, template.digest)
    await runtime.still_alone()  # a successor may have sealed it and not yet said so
    await server.drop_database(name)  # one that the catalog does not vouch for is not trusted
    marker = Marker(
        catalog=runtime.catalog.id, kind="golden", template=template.name, digest=template.digest, operation=runtime.operation
    )
    spec = GoldenSpec(
        database=name,
        building=f"manor_new_{runtime.catalog.id}_golden_{template.digest[:16]}_{operation_token(runtime.operation)}",
        schema=template.schema,
        rows=tuple(bind_dataset(dataset, {}) for dataset in template.shared_rows),
        isolation=tuple(IsolatedColumn(table=i.table, column=i.column, value="") for i in template.isolation),
        marker=marker,
        numbers_taken=template.numbers_taken,
    )
    fingerprint = await server.build_golden(spec)
    runtime.telemetry.emit("golden.sealed", runtime.operation, template.name, server=server.name, database=name)
    record = GoldenRecord(
        server=server.name, template=template.name, digest=template.digest, database=name, fingerprint=fingerprint
    )
    await runtime.catalog.put_golden(record)
    runtime.telemetry.emit("golden.built", runtime.operation, template.name, server=server.name, database=name)
    return Golden(database=name, digest=template.digest, fingerprint=fingerprint)
