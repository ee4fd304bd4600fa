"""From a registry to targets: every name is bound here, once, and nothing downstream renders. Pure, no I/O.

One pass says everything that is wrong. Work is done once per group wherever possible (ordering variables, loading the template,
checking what it needs), so that thousands of tenants cost little more than their names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from manor.control.registry.acted_on import Declared, not_acted_on, refusals
from manor.control.registry.bound_checks import check_targets
from manor.control.registry.groups import GroupPass, TemplateSource
from manor.control.registry.hook_paths import hook_paths, path_problem
from manor.control.registry.model import Registry
from manor.control.steps import Target
from manor.control.templates.model import Template
from manor.errors import Finding, NotFoundError
from manor.scan import suggest
from manor.tenancy import id_part_problem
from manor.typed_input import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """What a registry means. Only where ``findings`` is empty are the targets complete."""

    source: str
    targets: tuple[Target, ...]
    findings: tuple[Finding, ...]
    """Everything that is wrong: with the registry, with its templates and between them, in the order of the files' lines."""
    refusals: tuple[Finding, ...]
    """Settings that Manor cannot honour: validate says them, deploy refuses (severity ``refuse``)."""
    not_acted_on: tuple[str, ...]
    """Keys that were accepted and that nothing acts on yet, each once, sorted."""
    templates: Mapping[str, Template]
    """The templates that the targets use, by name."""


def resolve(
    registry: Declared,
    templates: TemplateSource | None,
    deployments: Sequence[str],
    *,
    source: str,
    deployment: str | None = None,
    paths: Mapping[str, str] | None = None,
    further: Mapping[str, Mapping[str, str]] | None = None,
) -> Resolution:
    """Bind every name of a registry. ``further``: by group, ids and display names of tenants that it does not list.

    ``deployments`` are the names that the environment has, ``deployment`` is the one named for this run, ``paths`` is what
    ``hook_files.look_at_paths`` saw. Without ``templates`` only the names are resolved. Raises ``NotFoundError`` if
    ``deployment`` is not among ``deployments``; what is wrong with the registry is a finding.
    """
    if deployment is not None and deployment not in deployments:
        raise NotFoundError(f"there is no deployment {deployment!r}", hint=suggest(deployment, deployments))
    model = registry.model
    found = list(registry.findings)
    if model is None:
        return Resolution(source=source, targets=(), findings=_in_order(found), refusals=(), not_acted_on=(), templates={})
    work = GroupPass(
        registry=registry,
        model=model,
        templates=templates,
        deployments=deployments,
        deployment=deployment,
        further=further or {},
    )
    work.all_groups()
    found += [*work.findings, *_customer_findings(model, registry), *path_findings(model, registry, paths or {})]
    found += check_targets(work.targets, work.loaded, work.place_of_target)
    found += templates.findings if templates is not None else ()
    return Resolution(
        source=source,
        targets=tuple(work.targets),
        findings=_in_order(found),
        refusals=tuple(refusals(model, registry)),
        not_acted_on=_not_acted_on(model, work.loaded.values()),
        templates=work.loaded,
    )


def _in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    files: dict[str, int] = {}
    unique = dict.fromkeys(findings)
    for finding in unique:
        files.setdefault(finding.place.file, len(files))
    return tuple(sorted(unique, key=lambda f: (files[f.place.file], f.place.line, f.place.column)))


def _not_acted_on(model: Registry, templates: Iterable[Template]) -> tuple[str, ...]:
    of_templates = (f"{template.name}/_mapping.yaml: {key}" for template in templates for key in template.not_acted_on)
    return (*not_acted_on(model), *sorted(set(of_templates)))


def _customer_findings(model: Registry, places: Places) -> Iterator[Finding]:
    code = model.customer_info.customer_code
    problem = id_part_problem(code)
    if problem:
        place = places.place(("customer_info", "customer_code"))
        yield Finding(message=f"customer_code {code!r} {problem}", place=place)


def path_findings(model: Registry, places: Places, seen: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong with the paths that a registry names; ``seen``: see ``hook_files.look_at_paths``."""
    for path, written in hook_paths(model):
        problem = path_problem(written) or seen.get(written)
        if problem:
            yield Finding(message=f"the hook {written!r} {problem}", place=places.place(path))
    folder = model.migration_config.data_migration_scripts if model.migration_config else None
    if folder is not None and (problem := path_problem(folder)):
        place = places.place(("migration_config", "data_migration_scripts"))
        yield Finding(message=f"the folder {folder!r} {problem}", place=place)
