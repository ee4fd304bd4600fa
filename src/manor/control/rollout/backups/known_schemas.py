"""Which schemas tenants of a template have had, as the catalog knows them: by them a loaded database is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from manor.control.catalog.records import DatabaseRecord, Lineage
from manor.control.engines.dumps import Photograph
from manor.control.rollout.backups.head import is_same_history
from manor.control.rollout.retry import until_recorded
from manor.control.runtime import Runtime

if TYPE_CHECKING:
    from manor.control.rollout.backups.load import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownSchemas:
    """Fingerprints by the digest of their golden, on one server, and what the digests are made of."""

    by_golden: Mapping[str, str]
    """The tenant's own first."""
    lineages: Mapping[str, Lineage]

    def fingerprints(self, source: Source) -> frozenset[str]:
        """Those that a source may come out with: as it was written down, or as its golden is here."""
        if source.expected is None:
            return frozenset(self.by_golden.values())
        here = self.by_golden.get(source.golden)
        return frozenset({source.expected.fingerprint} | ({here} if here else set()))

    def golden_of(self, found: Photograph) -> str:
        """Digest of the golden with that schema and that history; empty where there is none."""
        for digest, fingerprint in self.by_golden.items():
            lineage = self.lineages.get(digest)
            history = lineage.history if lineage is not None else ()
            if fingerprint == found.fingerprint and is_same_history(found.history, history):
                return digest
        return ""

    def is_changed(self, found: Photograph, golden: str) -> bool:
        """Whether what is of that golden has another schema or history by now; False where the golden is not known here."""
        lineage = self.lineages.get(golden)
        same = is_same_history(found.history, lineage.history if lineage is not None else ())
        return golden in self.by_golden and not (same and found.fingerprint == self.by_golden[golden])

    def golden_of_changed(self, found: Photograph) -> str:
        """Digest of the golden with that history, whatever was changed by hand in the schema since: the tenant's own, else the
        only one; empty where there is none."""
        same = [
            digest
            for digest in self.by_golden
            if is_same_history(found.history, self.lineages[digest].history if digest in self.lineages else ())
        ]
        return same[0] if same and (len(same) == 1 or same[0] == next(iter(self.by_golden))) else ""


async def known_schemas(runtime: Runtime, record: DatabaseRecord, golden: str) -> KnownSchemas:
    """Those of the tenant's template on its server; its own first. Where ``golden`` is among the goldens that are there, no
    tenant is asked about: there may be thousands."""
    catalog = runtime.catalog
    found = {record.golden: record.fingerprint} if record.golden else {}
    for one in await until_recorded(runtime, lambda: catalog.goldens(record.server)):
        if one.template == record.template:
            found.setdefault(one.digest, one.fingerprint)
    if golden not in found:
        for other in await until_recorded(runtime, lambda: catalog.databases(server=record.server)):
            if other.template == record.template and other.golden:
                found.setdefault(other.golden, other.fingerprint)
    lineages = await until_recorded(runtime, lambda: catalog.lineages(found))
    return KnownSchemas(by_golden=found, lineages=lineages)
