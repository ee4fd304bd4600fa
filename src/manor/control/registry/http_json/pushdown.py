"""Which part of a search the API is asked for. Only conditions that all tenants found must fulfil, and only ``field = 'text'``.

A text that Manor puts where a record says nothing (status ``active``, tier ``standard``, an empty region) is never asked for:
an API that is asked for ``status=active`` leaves out the records without a status, which are active too.

What comes back is filtered here by the whole search all the same: an API may overlook a parameter, or the case of letters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from manor.control.registry.search.nodes import Among, And, Compare, Comparison, Node
from manor.control.registry.search.predicate import Search
from manor.control.registry.tenant_columns import DEFAULTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A search in two parts."""

    parameters: Mapping[str, str]
    """For the API."""
    here: tuple[str, ...] = ()
    """Conditions that the API cannot be asked for, as the search language writes them."""


def asked_of(search: Search | None, filters: Mapping[str, str], values: Mapping[str, Mapping[str, str]]) -> Asked:
    """``filters``: the API's parameter by field; ``values``: its words by field and ours."""
    if search is None:
        return Asked(parameters={})
    parameters: dict[str, str] = {}
    here = []
    for node in search.root.operands if isinstance(search.root, And) else (search.root,):
        field, text = _equality(node)
        if text in (None, DEFAULTS.get(field)) or field not in filters or filters[field] in parameters:
            here.append(str(node))
        else:
            parameters[filters[field]] = values.get(field, {}).get(text, text)
    return Asked(parameters=parameters, here=tuple(here))


def _equality(node: Node) -> tuple[str, str | None]:
    """The field and the text that it must have; no text where the condition is another one."""
    match node:
        case Compare(comparison=Comparison.EQUAL, constant=str() as text) if not node.reference.path:
            return node.reference.name, text
        case Among(constants=(str() as text,)) if not node.reference.path:
            return node.reference.name, text
        case _:
            return "", None
