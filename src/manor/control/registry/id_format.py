"""Formats of tenant ids: plain text around one number, nothing that ``str.format`` could be talked into."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FORMAT = re.compile(r"(?P<before>[A-Za-z0-9_-]*)\{(?::(?P<spec>0?[0-9]{0,2}[dxX]?))?\}(?P<after>[A-Za-z0-9_-]*)")


@dataclass(frozen=True, slots=True)
class IdFormat:
    """A checked format; different numbers (from 0) give different ids, because the text around the number is fixed."""

    before: str
    spec: str
    after: str

    @classmethod
    def parse(cls, text: str) -> IdFormat:
        """Raises ``ValueError`` for what ``id_format_problem`` complains about."""
        match = _FORMAT.fullmatch(text)
        if match is None:
            raise ValueError(f"not a tenant id format: {text!r}")
        return cls(match["before"], match["spec"] or "", match["after"])

    def format(self, number: int) -> str:
        """The id of one number, from 0."""
        return f"{self.before}{number:{self.spec}}{self.after}"


def id_format_problem(text: str) -> str | None:
    """Why ``text`` is not a plain format of one number, or None."""
    if _FORMAT.fullmatch(text):
        return None
    fields = text.count("{")
    if fields == 0:
        return "has no {} for the tenant's number"
    if fields > 1:
        return "must hold exactly one {} and no braces beside it"
    inner = text[text.find("{") + 1 : text.find("}")] if "}" in text else ""
    if inner and not inner.startswith(":"):
        return f"must be a plain format of one number: {{{inner}}} reaches for a name, an attribute or a conversion"
    return "must be plain text (letters, digits, '_', '-') around one {} or {:spec}, the spec being a width and d, x or X"
