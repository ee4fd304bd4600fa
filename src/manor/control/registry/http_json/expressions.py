"""Where something stands in an answer, as JMESPath. jmespath stands here only.

Most expressions are plain names with dots; these are followed without the library, which is many times faster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from manor.errors import InputError

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)*")


class Expression:
    """One compiled expression."""

    def __init__(self, text: str, name: str) -> None:
        """``name`` is the setting that holds it, for messages. Raises ``InputError`` for what is no JMESPath."""
        self.text = text
        self._steps = tuple(text.split(".")) if _PLAIN.fullmatch(text) else ()
        try:
            self._compiled = None if self._steps or text == "@" else jmespath.compile(text)
        except JMESPathError as error:
            where = " ".join(str(error).split())[:200]
            raise InputError(f"{name} is not JMESPath: {where}", hint="such as data.items, or @ for all of it") from None

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def find(self, value: Any) -> Any:
        """What it finds in ``value``; None where that is nothing. Raises ``InputError`` where a function does not fit."""
        if self._compiled is not None:
            return self._searched(value)
        for step in self._steps:
            value = value.get(step) if isinstance(value, Mapping) else None
        return value

    def stands_in(self, value: Any) -> bool:
        """Whether the key is there at all, be it with null; of an expression that is not plain: whether it finds something."""
        if not self._steps:
            return self.find(value) is not None
        *parents, last = self._steps
        for step in parents:
            value = value.get(step) if isinstance(value, Mapping) else None
        return isinstance(value, Mapping) and last in value

    def _searched(self, value: Any) -> Any:
        assert self._compiled is not None  # noqa: S101 - find looks
        try:
            return self._compiled.search(value)
        except JMESPathError as error:
            raise InputError(f"{self.text!r}: {' '.join(str(error).split())[:200]}") from None


def expression_of(text: str | None, name: str) -> Expression | None:
    """An expression where there is one."""
    return None if text is None else Expression(text, name)
