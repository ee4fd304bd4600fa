"""The schemas of the templates that a draft's targets are made from: one per template, or one per tenant where names of its
own stand in it.

Where all targets of a template agree, it keeps its plain name. A schema that depends on its tenant is read by itself, so that
what is wrong with one tenant's names is that tenant's fault and nobody else's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from manor.control.provision.directory_targets import Draft
from manor.control.steps import Target
from manor.control.templates.loader import TemplateLoader
from manor.control.templates.model import Template
from manor.control.templates.naming import EVERYBODY, Naming
from manor.errors import Finding, InvalidInput


class SchemaVariants:
    """Loads what a draft needs. ``new_loader``: reads all files afresh."""

    def __init__(self, new_loader: Callable[[], TemplateLoader]) -> None:
        self._new_loader = new_loader
        self._loader = new_loader()

    def load(self, draft: Draft, known: Sequence[str]) -> dict[str, Template]:
        """By recipe; ``draft`` gets the variants, and sets aside whose own schema is wrong. ``known``: the templates that there
        are. Raises ``InvalidInput`` with every finding where a template is wrong for everybody."""
        grouped = self._grouped(draft, known)
        draft.vary(
            {
                str(target.tenant): _word(variant)
                for variants in grouped.values()
                if len(variants) > 1
                for variant, targets in variants.items()
                for target in targets
            }
        )
        loaded: dict[str, Template] = {}
        for name, variants in grouped.items():
            for variant, targets in variants.items():
                is_everybodys = variant == self._loader.variant(name, EVERYBODY)
                found = self._loader.load(name) if is_everybodys else self._own(draft, name, targets)
                if found is not None:
                    template = replace(found, variant=_word(variant) if len(variants) > 1 else "")
                    loaded[template.recipe] = template
        errors = _errors(self._loader)
        if errors:
            raise InvalidInput(errors)
        return loaded

    def _grouped(self, draft: Draft, known: Sequence[str]) -> dict[str, dict[Hashable, list[Target]]]:
        """By template and by what its schema depends on, the targets."""
        grouped: dict[str, dict[Hashable, list[Target]]] = {}
        for target in draft.usable():
            if target.template in known:
                variant = self._loader.variant(target.template, _naming(draft, target))
                grouped.setdefault(target.template, {}).setdefault(variant, []).append(target)
        return dict(sorted(grouped.items()))

    def _own(self, draft: Draft, name: str, targets: Sequence[Target]) -> Template | None:
        """A schema that depends on these tenants, by a loader that has told of nothing yet."""
        loader = self._new_loader()
        template = loader.load(name, naming=_naming(draft, targets[0]))
        errors = _errors(loader)
        for target in targets if errors else ():
            draft.put_aside(target, str(errors[0]), errors[0].hint)
        return template if not errors else None


def _naming(draft: Draft, target: Target) -> Naming:
    return draft.namings[str(target.tenant)]


def _errors(loader: TemplateLoader) -> list[Finding]:
    return [finding for finding in loader.findings if finding.severity == "error"]


def _word(variant: Hashable) -> str:
    """A short name of what a schema depends on; the same in every run."""
    macros, tenant = variant if isinstance(variant, tuple) else ((), variant)
    return hashlib.sha256(repr((sorted(macros), tenant)).encode()).hexdigest()[:12]
