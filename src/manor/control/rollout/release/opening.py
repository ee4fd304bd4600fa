"""Maintenance windows: a wave begins with those of its targets whose window is open; the others come when theirs opens."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from manor.control.catalog.records import DatabaseRecord, TargetRecord
from manor.control.registry.search.fields import record_values
from manor.control.registry.search.parse import parse_search
from manor.control.registry.search.predicate import Search
from manor.control.rollout.release.move import move
from manor.control.rollout.release.stopping import wait_unless_asked
from manor.control.rollout.release.waves import Gate, Mover, Stop, WavePlan, Went, go, soak
from manor.control.rollout.release.work import Work
from manor.control.rollout.windows import Window, is_open, opens_at, windows_about


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Which windows each target keeps to."""

    windows: tuple[Window, ...]
    searches: Mapping[str, Search]
    records: Mapping[str, DatabaseRecord]

    @classmethod
    def of(cls, windows: Sequence[Window], records: Mapping[str, DatabaseRecord]) -> Opening:
        """Read the windows' searches. Raises ``InputError`` for one that cannot be read."""
        searches = {w.where: parse_search(w.where, where="maintenance_windows") for w in windows if w.where}
        return cls(windows=tuple(windows), searches=searches, records=records)

    def about(self, target: TargetRecord) -> tuple[Window, ...]:
        """The windows of one target; none: it may be changed at any time."""
        values = record_values(self.records[target.tenant])
        return windows_about(self.windows, lambda where: self.searches[where].matches(values))

    def lets_in(self, wave: WavePlan, now: dt.datetime) -> bool:
        """Whether anything of a wave may be done; one whose targets are all done before is only looked at."""
        return not wave.targets or any(is_open(now, self.about(target)) for target in wave.targets)

    def opens(self, targets: Sequence[TargetRecord], now: dt.datetime) -> dt.datetime:
        """When the first of them may begin."""
        return min(opens_at(now, self.about(target)) or now for target in targets)


async def go_in_windows(
    work: Work, waves: Sequence[WavePlan], opening: Opening, *, mover: Mover = move, gate: Gate | None = None
) -> Went:
    """``go`` that keeps to windows. A target that has begun is brought to its end, also where its window closes meanwhile."""
    if not opening.windows:
        return await go(work, waves, mover=mover, gate=gate)
    queue, results = list(waves), list[TargetRecord]()
    while queue:
        now = work.runtime.now()
        ready = next((wave for wave in queue if opening.lets_in(wave, now)), None)
        if ready is None:
            opens = opening.opens([target for wave in queue for target in wave.targets], now)
            work.runtime.telemetry.emit("window.awaited", work.operation, opens.isoformat())
            stop = await wait_unless_asked(work, (opens - now).total_seconds())
            if stop is not Stop.FINISHED:
                return Went(stop=stop, results=tuple(results), reason=str(stop))
            continue
        queue.remove(ready)
        now_open = tuple(t for t in ready.targets if is_open(now, opening.about(t)))
        later = tuple(t for t in ready.targets if t not in now_open)
        if later:
            queue.append(replace(ready, targets=later))
        went = await go(work, [replace(ready, targets=now_open)], mover=mover, gate=gate)
        results += went.results
        stop, reason = went.stop, went.reason
        if stop is Stop.FINISHED and queue:
            stop, reason = await soak(work, ready, (*ready.done, *went.results), gate)
        if stop is not Stop.FINISHED:
            return replace(went, stop=stop, results=tuple(results), reason=reason)
    return Went(stop=Stop.FINISHED, results=tuple(results))
