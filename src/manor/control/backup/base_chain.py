"""Chains of base backups: a full one, and increments that each go on from the one before. Pure.

An increment is of use only with all that it goes on from, down to the full one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from manor.control.backup.base_manifest import BaseManifest
from manor.control.engines.bases import LogFacts
from manor.errors import RefusedError

FIRST_MAJOR = 17
"""The first PostgreSQL that takes increments."""
_FULL = "take a full base backup: manor backup base without --incremental"


def chain_of(manifest: BaseManifest, manifests: Iterable[BaseManifest]) -> tuple[BaseManifest, ...]:
    """The full base backup that this one goes back to, and the increments up to it, oldest first. ``manifests``: those of which
    ``missing_parent`` misses nothing."""
    known = {one.id: one for one in manifests}
    chain = [manifest]
    while chain[-1].parent:
        chain.append(known[chain[-1].parent])
    return tuple(reversed(chain))


def missing_parent(manifest: BaseManifest, manifests: Iterable[BaseManifest]) -> str:
    """The first base backup that this one needs and that is not there; empty where it is whole. A chain that goes round lacks
    its own end."""
    known = {one.id: one for one in manifests}
    at = manifest
    for _ in range(len(known) + 1):
        if not at.parent:
            return ""
        if at.parent not in known or known[at.parent].shape.system != manifest.shape.system:
            return at.parent
        at = known[at.parent]
    return manifest.id


def with_parents(kept: Iterable[BaseManifest], manifests: Sequence[BaseManifest]) -> list[BaseManifest]:
    """Those, and all that they need, in the order of ``manifests``."""
    needed = {one.id for manifest in kept for one in chain_of(manifest, manifests)}
    return [manifest for manifest in manifests if manifest.id in needed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What is to become of a server's base backups, each list oldest first."""

    kept: Sequence[BaseManifest]
    gone: Sequence[BaseManifest]
    others: Sequence[BaseManifest]
    """Of clusters that the server has replaced: neither counted nor removed."""

    @property
    def needed(self) -> Sequence[BaseManifest]:
        """Those whose log must stay. The log of a cluster that was replaced is not kept once there is a base backup of the
        present one: it lies in the same archive, which would grow for ever."""
        return self.kept or self.others


def keeping(manifests: Sequence[BaseManifest], *, system: str, keep_bases: int | None) -> Keeping:
    """Which base backups stay: the newest ``keep_bases`` of cluster ``system`` and those that these are increments of (None:
    all of them). With 0 none stays, of whatever cluster. ``manifests``: usable ones, oldest first."""
    if keep_bases == 0:
        return Keeping(kept=(), gone=manifests, others=())
    ours = [manifest for manifest in manifests if manifest.shape.system == system]
    newest = ours if keep_bases is None else ours[-keep_bases:]
    kept = with_parents(newest, manifests)
    return Keeping(
        kept=kept,
        gone=[manifest for manifest in ours if manifest not in kept],
        others=[manifest for manifest in manifests if manifest.shape.system != system],
    )


def choose_parent(server: str, facts: LogFacts, manifests: Sequence[BaseManifest], *, where: str) -> BaseManifest:
    """The base backup that an increment goes on from: the newest. ``manifests``: usable ones, oldest first, found in ``where``.

    Raises ``RefusedError`` with the reason, and what can be done instead.
    """
    if facts.major < FIRST_MAJOR:
        raise RefusedError(
            f"server {server}: PostgreSQL {facts.major} takes no incremental base backups, {FIRST_MAJOR} and later do",
            hint=_FULL,
        )
    ours = [manifest for manifest in manifests if manifest.shape.system == facts.system]
    if not ours:
        raise RefusedError(f"server {server}: {where} has no base backup that an increment could go on from", hint=_FULL)
    if not facts.summarizing:
        raise RefusedError(
            f"server {server}: summarize_wal is off, so it does not know what has changed since base backup {ours[-1].id}",
            hint=f"ALTER SYSTEM SET summarize_wal = on, then reload; and {_FULL}",
        )
    if ours[-1].file_list is None:
        raise RefusedError(
            f"server {server}: base backup {ours[-1].id} was stored without PostgreSQL's own manifest", hint=_FULL
        )
    return ours[-1]
