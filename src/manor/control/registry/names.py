"""Names of databases against each other and against their templates: legal, each taken once, and the same everywhere. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from manor.control.steps import Target
from manor.control.templates.model import Template
from manor.errors import Finding, Place
from manor.tenancy import database_name_problem

PlaceOf = Callable[[Target], Place]


class NameLedger:
    """Who has which name on which server; letters' case aside, because names that differ in it only are easily confused."""

    def __init__(self, name_place: PlaceOf) -> None:
        """``name_place`` tells where a target's name (or the pattern of it) stands."""
        self._name_place = name_place
        self._taken: dict[tuple[str, str], Target] = {}

    def enter(self, targets: Sequence[Target]) -> Iterator[Finding]:
        """Claim the names of one group. Fixed databases are told one by one, a numbered group's first and how many more."""
        illegal = [(t, problem) for t in targets if (problem := database_name_problem(t.database)) is not None]
        collisions = [(t, first) for t in targets if (first := self._claim(t)) is not t]
        numbered = bool(targets) and targets[0].kind == "tenant_group"
        for target, problem in illegal[: 1 if numbered else None]:
            more = _more(len(illegal)) if numbered else ""
            message = f"the database name {target.database!r} {problem}{more}"
            yield Finding(message=message, place=self._name_place(target))
        for target, first in collisions[: 1 if numbered else None]:
            yield self._collision(target, first, _more(len(collisions)) if numbered else "")

    def _claim(self, target: Target) -> Target:
        return self._taken.setdefault((target.server, target.database.lower()), target)

    def _collision(self, target: Target, first: Target, more: str) -> Finding:
        if first.group == target.group and target.kind == "tenant_group":
            both = f"{first.tenant.id} and {target.tenant.id}"
            message = f"the tenants {both} get the same database name {target.database!r}{more}"
            return Finding(message=message, place=self._name_place(target), hint="put {tenant_id} into it")
        case = "" if first.database == target.database else f" as {first.database!r}, which differs in case only"
        message = f"the database name {target.database!r} of group {target.group} is taken by {first.tenant}{case}{more}"
        hint = f"the other one is at {self._name_place(first)}"
        return Finding(message=message, place=self._name_place(target), hint=hint)


def template_name_findings(
    targets: Sequence[Target], templates: Mapping[str, Template], place_of: PlaceOf
) -> Iterator[Finding]:
    """Where ``database_config.<instance>.database_name`` says another name; the first difference per template and instance."""
    told: set[tuple[str, str]] = set()
    for target in targets:
        template = templates.get(target.recipe)
        for instance, found in _template_names(template, target) if template else ():
            if found != target.database and (target.template, instance) not in told:
                told.add((target.template, instance))
                yield Finding(
                    message=f"template {target.template} names the database {found!r} "
                    f"(database_config.{instance}.database_name), but the registry names it {target.database!r}",
                    place=place_of(target),
                    hint="make both the same, or take the name out of the template",
                )


def _template_names(template: Template, target: Target) -> Iterator[tuple[str, str]]:
    for instance, text in template.database_names.items():
        if not text.names - target.variables.keys():
            yield instance, text.fill(target.variables)


def _more(count: int) -> str:
    return f" (and {count - 1:,} more like it)" if count > 1 else ""
