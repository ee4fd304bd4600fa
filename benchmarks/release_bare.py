"""One release to a fleet, rolling, against the bare loop that does nothing but the same statements and a history row."""

from __future__ import annotations

import psycopg

from benchmarks.ground import PARALLEL, shared_out
from benchmarks.measure import SAMPLE_HEADER, Result, Sample, Settings, Verdict, alternate, ratios, sample_rows
from benchmarks.release_ground import COMMON, STATEMENTS, ReleaseGround, open_release_ground

TENANTS = 500
TARGET = 0.80
METHOD = f"""\
{COMMON} *Bare loop*: {PARALLEL} asyncio workers; for each database a psycopg connection, the statements as one text, INSERT
of a row into a history table, COMMIT, close; nothing is looked up, compared, journaled or repeated. *Rolling*: the whole
command through the library: opening servers and catalog, reading registry and folders, lint, plan, journal, the golden of
the new release, every tenant's fence, history, settings, statements, marker and fingerprint, outcomes, audit, anchor,
closing. The ratio is the bare loop's time / rolling's time of one round."""
HISTORY = """
CREATE TABLE schema_migrations (
    version text PRIMARY KEY, checksum text NOT NULL, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(),
    operation text NOT NULL)
"""
ROW = "INSERT INTO schema_migrations (version, checksum, name, operation) VALUES (%s, %s, %s, %s)"


def run(settings: Settings) -> Result:
    """Two ways, alternating; one unmeasured round first."""
    with open_release_ground(settings, TENANTS) as fleet:
        bare = BareLoop(fleet)
        legs = {"bare loop": bare.release, "rolling": lambda: fleet.release()[0]}
        alternate(legs, 1)
        samples = alternate(legs, settings.rounds_or(5))
        count = len(fleet.databases)
    share = ratios(samples["bare loop"], samples["rolling"])
    verdict = Verdict(
        what=f"one migration over {count} tenants, rolling, against the bare loop",
        target=f"≥ {TARGET:.2f}",
        measured=share.show(),
        reached=share.middle >= TARGET,
    )
    return Result(
        title="A rolling release against the bare loop",
        method=METHOD,
        header=SAMPLE_HEADER,
        rows=sample_rows(samples, count=count),
        verdicts=[verdict],
    )


class BareLoop:
    """Databases of its own, and the releases that they have seen."""

    def __init__(self, fleet: ReleaseGround) -> None:
        self._fleet = fleet
        self._databases = fleet.copies("bare", HISTORY)
        self._released = 0

    def release(self) -> Sample:
        """The next one."""
        self._released += 1
        number = self._released
        script = STATEMENTS.format(number=number).encode()
        row = (str(20260000 + number), "0" * 64, f"release_{number}", "bare")

        async def one(database: str) -> None:
            async with await psycopg.AsyncConnection.connect(self._fleet.url(database)) as connection:
                await connection.execute(script)
                await connection.execute(ROW, row)

        async def everything() -> None:
            await shared_out(self._databases, [one] * PARALLEL)

        return self._fleet.timed(everything)
