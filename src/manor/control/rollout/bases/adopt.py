"""Records base backups that storage holds and the catalog does not know: it was rebuilt, or restored from before them."""

from __future__ import annotations

from manor.control.rollout.bases.place import BasePlace
from manor.control.rollout.bases.take import base_record
from manor.control.rollout.retry import until_recorded
from manor.control.runtime import Runtime
from manor.errors import ManorError


async def adopt_bases(runtime: Runtime, place: BasePlace) -> tuple[int, list[str]]:
    """Look at the storage of every server. Returns how many were recorded, and in words what could not be read."""
    known = {base.id for base in await until_recorded(runtime, runtime.catalog.bases)}
    adopted, problems = 0, list[str]()
    for server in runtime.servers:
        try:
            manifests, broken = await place.manifests(server)
        except ManorError as error:
            problems.append(f"base backups of {server} could not be looked for: {error.message}")
            continue
        problems += [str(error) for error in broken]
        for manifest in manifests:
            if manifest.id not in known:
                await runtime.catalog.put_base(base_record(place, manifest, runtime.operation))
                adopted += 1
    return adopted, problems
