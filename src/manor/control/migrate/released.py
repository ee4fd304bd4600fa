"""A template at a release: which migrations are run upon its bare golden. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from manor.control.migrate.cohort import Cohort, Scripts, StepPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What is run upon a template's golden."""

    steps: tuple[StepPlan, ...]
    scripts: Scripts

    def cohort(self, template: str, base_digest: str, server: str) -> Cohort:
        """From the bare golden of a template to the one with these migrations."""
        return Cohort(
            number=0,
            source="",
            template=template,
            server=server,
            base=base_digest,
            golden_from=base_digest,
            before=(),
            steps=self.steps,
        )
