"""What a page will cost, in words. Pure."""

from __future__ import annotations

from manor.data.documents.driver import Query, Statement
from manor.data.documents.relational.paging import Plan
from manor.data.documents.values import type_of


def told(query: Query, chosen: Plan, text: str) -> Statement:
    """The statement, and a remark where items are read that the filter then drops."""
    if query.filter is not None and not (chosen.filter.exact and chosen.filter.sql):
        part = "a part of the filter is" if chosen.filter.sql else "the filter is"
        text += f" -- {part} applied to the rows after they were read"
    return Statement(text=text, parameters=tuple(f"{name}: {type_of(value)}" for name, value in query.values.items()))
