"""The text of a search and places in it."""

from __future__ import annotations

from dataclasses import dataclass

from manor.errors import InputError, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What somebody wrote, and where (an option's name)."""

    text: str
    where: str

    def place(self, offset: int) -> Place:
        """Line and column, from 1, of the character at ``offset``."""
        line_start = self.text.rfind("\n", 0, offset) + 1
        return Place(self.where, self.text.count("\n", 0, offset) + 1, offset - line_start + 1)

    def refusal(self, message: str, offset: int, hint: str) -> InputError:
        """The error for what stands at ``offset``; to be raised."""
        return InputError(message, place=self.place(offset), hint=hint)
