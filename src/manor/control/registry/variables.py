"""The variables of one group or database: scanned and ordered once, filled in per tenant. Pure."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from manor.errors import Finding, InputError, Place
from manor.scan import Text, fill_variables, order_variables, scan, suggest

PlaceOf = Callable[[str], Place]
Uses = Mapping[str, frozenset[str]]


@functools.lru_cache(maxsize=4096)
def _scan_remembered(text: str) -> tuple[Text, frozenset[str]]:
    scanned = scan(text)
    return scanned, scanned.names


def scan_names(text: str) -> tuple[Text, frozenset[str]]:
    """``scan`` without a place, and the names in it. Cheap for plain text and for texts that thousands of entries repeat."""
    if _has_brace(text):
        return _scan_remembered(text)
    return Text((text,) if text else ()), frozenset()


@dataclass(frozen=True, slots=True)
class Definitions:
    """Variables whose references are all known and free of circles: those that are plain text, and the others."""

    plain: Mapping[str, str]
    texts: Mapping[str, Text]
    order: tuple[str, ...]

    def fill(self, given: Mapping[str, str]) -> dict[str, str]:
        """All values of one tenant: the given ones and, over them, the defined ones."""
        return fill_variables(self.texts, self.order, {**given, **self.plain})


def define(variables: Mapping[str, str], given: Iterable[str], place_of: PlaceOf) -> tuple[Definitions | None, list[Finding]]:
    """``variables`` ready to be filled, or None and everything that is wrong with them.

    ``given`` are the names that every tenant has a value for; ``place_of`` tells where a variable's value stands.
    """
    texts, uses, findings = _scan_all(variables, place_of)
    plain = {name: text for name, text in variables.items() if not _has_brace(text)}
    if not texts and not findings:  # thousands of entries say nothing but plain text
        return Definitions(plain, {}, ()), []
    outside = plain.keys() | given
    known = outside | variables.keys()
    for name, used in uses.items():
        for unknown in sorted(used - known):
            message = f"variable {name} refers to {{{unknown}}}, which is not defined"
            findings.append(Finding(message=message, place=place_of(name), hint=suggest(unknown, known)))
    if all(used.isdisjoint(texts) for used in uses.values()):
        return (None if findings else Definitions(plain, texts, tuple(texts))), findings
    findings.extend(_circles(texts, uses, frozenset(outside), place_of))
    if findings:
        return None, findings
    return Definitions(plain, texts, tuple(order_variables(texts, outside))), []


def _has_brace(text: str) -> bool:
    return "{" in text or "}" in text


def _scan_all(variables: Mapping[str, str], place_of: PlaceOf) -> tuple[dict[str, Text], Uses, list[Finding]]:
    """Those that are more than plain text."""
    texts: dict[str, Text] = {}
    uses: dict[str, frozenset[str]] = {}
    findings: list[Finding] = []
    for name, written in variables.items():
        if not _has_brace(written):
            continue
        try:
            texts[name], uses[name] = _scan_remembered(written)
        except InputError as error:
            findings.append(Finding(message=f"variable {name}: {error.message}", place=place_of(name), hint=error.hint))
    return texts, uses, findings


def _circles(texts: Mapping[str, Text], uses: Uses, given: frozenset[str], place_of: PlaceOf) -> Iterator[Finding]:
    """One finding per circle, at the first variable of it. A variable's own name means the given value where there is one."""
    first_needs = {name: (used - {name} if name in given else used) & texts.keys() for name, used in uses.items()}
    reachable = {name: _reachable(name, first_needs) for name in texts}
    reported: set[str] = set()
    for name in texts:
        if name not in reachable[name] or name in reported:
            continue
        circle = {other for other in reachable[name] if name in reachable[other]}
        reported |= circle
        yield _circle_finding({n: texts[n] for n in texts if n in circle}, given | texts.keys() - circle, place_of(name))


def _circle_finding(texts: Mapping[str, Text], given: Iterable[str], place: Place) -> Finding:
    outside = set(given).union(*(text.names for text in texts.values())) - texts.keys()
    try:
        order_variables(texts, outside)
    except InputError as error:
        return Finding(message=error.message, place=place, hint=error.hint)
    return Finding(message=f"variables refer to each other in a circle: {', '.join(texts)}", place=place)


def _reachable(start: str, uses: Uses) -> set[str]:
    seen: set[str] = set()
    waiting = list(uses[start])
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(uses[name])
    return seen
