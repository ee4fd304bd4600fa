"""What a query answers: a list that knows how to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from manor.data.documents.values import Item


class Page(list[Item]):
    """Items, in order. ``cursor`` continues behind them (None at the end); ``scanned`` counts the items that were read for it,
    None where the backend does not say."""

    def __init__(
        self,
        items: Iterable[Item] = (),
        *,
        last: Item | None = None,
        scanned: int | None = None,
        sign: Callable[[Item], str] | None = None,
    ) -> None:
        super().__init__(items)
        self.last = last
        self.scanned = scanned
        self._sign = sign

    @property
    def cursor(self) -> str | None:
        """Opaque text for the parameter ``cursor`` of the same query; safe to hand out, of no use to another tenant."""
        return self._sign(self.last) if self.last is not None and self._sign is not None else None
