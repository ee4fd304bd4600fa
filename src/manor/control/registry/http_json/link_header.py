"""What a ``Link`` header says (RFC 8288). Names of parameters and relations are the same in any case, ``rel`` holds several
words, and of two ``rel`` of one link the first counts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from manor.errors import Code, ManorError

_PARAMETER = re.compile(
    r"""[\s;]*;\s*(?P<name>[^\s=;,"<>]+)(?:\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|(?P<plain>[^\s;,"]*)))?"""
)
"""Quotation marks of the single kind are none of the standard's; some servers write them."""
_TARGET = re.compile(r"[\s,]*<(?P<target>[^<>]*)>")
_REST = re.compile(r"[\s;]*(?:,|$)")
_OF_PAGES = frozenset({"first", "last", "prev", "previous", "next"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """The part of a header that is about pages."""

    following: tuple[str, ...] = ()
    """Addresses of ``rel="next"``, as they are written; each once."""
    of_pages: bool = False
    """Whether there is a link to any page at all."""


def read_links(header: str | None, url: str) -> Links:
    """Raises ``ManorError`` (CORRUPT) for what is no ``Link`` header: a next page may stand in it. ``url`` is for messages."""
    following: dict[str, None] = {}
    of_pages, at = False, 0
    text = (header or "").strip().rstrip(", ")
    while at < len(text):
        target = _TARGET.match(text, at)
        if target is None:
            raise _unreadable(url)
        relations, at = _relations(text, target.end(), url)
        of_pages = of_pages or not _OF_PAGES.isdisjoint(relations)
        if "next" in relations:
            following[target["target"].strip()] = None
    return Links(following=tuple(following), of_pages=of_pages)


def _relations(text: str, at: int, url: str) -> tuple[list[str], int]:
    """The words of the first ``rel``, and where the link ends."""
    relations: list[str] | None = None
    while (found := _PARAMETER.match(text, at)) is not None:
        at = found.end()
        if relations is None and found["name"].lower() == "rel":
            relations = (found["quoted"] or found["single"] or found["plain"] or "").lower().split()
    rest = _REST.match(text, at)
    if rest is None:
        raise _unreadable(url)
    return relations or [], rest.end()


def _unreadable(url: str) -> ManorError:
    return ManorError(
        f"{url} answers with a Link header that cannot be read", code=Code.CORRUPT, hint="use another pagination.style"
    )
