"""Which page comes next, and what an answer says about it. Decisions only; ``walk`` asks.

A page that is shorter than asked for proves nothing (an API has a maximum of its own), so a list ends where the API says so: by
its total, by its word that there is no more, by a cursor or an address that is missing, or by an empty page. A total that
counts just the page, and a page that is empty once, would end it too early: these are looked behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from manor.api_shapes import ApiPagination
from manor.errors import Code, ManorError

FIRST_PAGE = 1
"""Where the settings do not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One page to ask for."""

    number: int
    """From 1, in the order of the walk."""
    position: int | str | None
    """The row to begin with, a page's number, a cursor or an address; None: the beginning."""
    size: int
    overlap: bool = False
    """The first tenant of the page was the last one of the page before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What an answer says."""

    items: Sequence[Any]
    total: int | None = None
    more: bool | None = None
    """None where the API is not asked for it."""
    following: str | None = None
    """Cursor or address of the next page."""
    following_told: bool = False
    """The answer has a place for it, be it empty."""


class Pager(Protocol):
    """The way through one list."""

    @property
    def looks_back(self) -> bool:
        """Whether the page before is to be asked for again, to see that nothing moved."""
        ...

    @property
    def rows_have_numbers(self) -> bool:
        """Whether a walk can begin in the middle."""
        ...

    @property
    def named(self) -> str:
        """What the setting is called that says where the next page stands."""
        ...

    def begin(self, offset: int) -> Step:
        """The first page, from row ``offset`` (0 unless ``rows_have_numbers``)."""
        ...

    def after(self, step: Step, page: Page, received: int) -> Step | None:
        """The page behind ``page``, or None where it was the last one; ``received``: rows of the list up to here."""
        ...

    def is_doubtful(self, step: Step, page: Page) -> bool:
        """Whether an end at ``page`` may as well be a setting that looks for the next page in the wrong place."""
        ...

    def beyond(self, step: Step, page: Page) -> Sequence[Step]:
        """What is to be looked at where the list ends at ``page`` without the API having said so: nothing new may be there."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ByRow:
    """``offset=200&limit=100``. Pages overlap by one tenant, so that a row that is gone or new before it is noticed."""

    size: int
    overlapping: bool = True
    looks_back: bool = False
    rows_have_numbers: bool = True
    named: str = "pagination"

    def begin(self, offset: int) -> Step:
        """From row ``offset``."""
        return Step(number=1, position=offset, size=self.size)

    def after(self, step: Step, page: Page, received: int) -> Step | None:
        """From behind the rows that came, however many were asked for."""
        assert isinstance(step.position, int)  # noqa: S101 - its own steps
        end = step.position + len(page.items)
        if len(page.items) <= step.overlap or _is_through(page, received):
            return None
        # An API that gives one tenant at a time would give the same one for ever.
        overlap = self.overlapping and len(page.items) > 1
        return Step(number=step.number + 1, position=end - overlap, size=self.size, overlap=overlap)

    def is_doubtful(self, step: Step, page: Page) -> bool:  # noqa: ARG002 - the port's signature
        """An empty page is an end."""
        return False

    def beyond(self, step: Step, page: Page) -> Sequence[Step]:
        """What stands behind a first page that is all that the total counts."""
        assert isinstance(step.position, int)  # noqa: S101 - its own steps
        following = Step(number=step.number + 1, position=step.position + len(page.items), size=self.size)
        return (following,) if self.overlapping and _may_count_the_page(step, page) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ByNumber:
    """``page=3&per_page=100``."""

    size: int
    first: int = 1
    looks_back: bool = True
    rows_have_numbers: bool = False
    named: str = "pagination"

    def begin(self, offset: int) -> Step:  # noqa: ARG002 - the port's signature
        """The first page."""
        return Step(number=1, position=self.first, size=self.size)

    def after(self, step: Step, page: Page, received: int) -> Step | None:
        """The next number, until a page is empty or the API says that it was the last."""
        if not page.items or _is_through(page, received):
            return None
        return Step(number=step.number + 1, position=self.first + step.number, size=self.size)

    def is_doubtful(self, step: Step, page: Page) -> bool:  # noqa: ARG002 - the port's signature
        """An empty page is an end."""
        return False

    def beyond(self, step: Step, page: Page) -> Sequence[Step]:
        """The page behind one that is all that the total counts; an empty page, which may have been so once, and the next."""
        following = Step(number=step.number + 1, position=self.first + step.number, size=self.size)
        if not self.looks_back or page.more is not None:
            return ()
        if not page.items and page.total is None:
            return (step, following)
        return (following,) if _may_count_the_page(step, page) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ByFollowing:
    """By a cursor or an address that each answer names for the next one."""

    size: int
    looks_back: bool
    named: str
    """What the setting is called that says where it stands."""
    rows_have_numbers: bool = False

    def begin(self, offset: int) -> Step:  # noqa: ARG002 - the port's signature
        """The beginning."""
        return Step(number=1, position=None, size=self.size)

    def after(self, step: Step, page: Page, received: int) -> Step | None:  # noqa: ARG002 - the port's signature
        """What the answer names. Raises ``ManorError`` (CORRUPT) where it tells of more, but not where."""
        if page.more is False:
            return None
        if page.following is None and page.more:
            raise ManorError(
                f"page {step.number} tells of more and does not say where", code=Code.CORRUPT, hint=f"is {self.named} right?"
            )
        if page.following is None:
            return None
        return Step(number=step.number + 1, position=page.following, size=self.size)

    def is_doubtful(self, step: Step, page: Page) -> bool:
        """The very first page is the last one, and the place where it would name another is not even there."""
        silent = page.following is None and not page.following_told and page.more is None and page.total is None
        return step.number == 1 and silent and len(page.items) > 1

    def beyond(self, step: Step, page: Page) -> Sequence[Step]:  # noqa: ARG002 - the port's signature
        """The API has said it."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InOne:
    """All in one answer."""

    size: int = 0
    looks_back: bool = False
    rows_have_numbers: bool = False
    named: str = "pagination"

    def begin(self, offset: int) -> Step:  # noqa: ARG002 - the port's signature
        """The only page."""
        return Step(number=1, position=None, size=self.size)

    def after(self, step: Step, page: Page, received: int) -> Step | None:  # noqa: ARG002 - the port's signature
        """There is none. Raises ``ManorError`` (CORRUPT) where the answer tells of more."""
        if page.more or page.following is not None:
            raise ManorError(
                f"page {step.number} tells of more", code=Code.CORRUPT, hint="pagination.style: none is for lists in one answer"
            )
        return None

    def is_doubtful(self, step: Step, page: Page) -> bool:  # noqa: ARG002 - the port's signature
        """The settings say so."""
        return False

    def beyond(self, step: Step, page: Page) -> Sequence[Step]:  # noqa: ARG002 - the port's signature
        """The settings say so."""
        return ()


def _is_through(page: Page, received: int) -> bool:
    """Where the API tells of more, its total is not believed: ``walk`` will find that they differ."""
    if page.more is not None:
        return not page.more
    return page.total is not None and received >= page.total


def _may_count_the_page(step: Step, page: Page) -> bool:
    """Some APIs' total is that of the page: it ends every list after the first one."""
    return step.number == 1 and page.more is None and counts_the_page(page)


def counts_the_page(page: Page) -> bool:
    """Whether the total may be that of the page alone."""
    return bool(page.items) and page.total == len(page.items) and page.more is not False


def pager_of(pagination: ApiPagination) -> Pager:
    """The way that a REST API's settings describe."""
    size = pagination.size
    match pagination.style:
        case "offset":
            return ByRow(size=size, overlapping=pagination.verify)
        case "page":
            return ByNumber(
                size=size,
                first=FIRST_PAGE if pagination.first_page is None else pagination.first_page,
                looks_back=pagination.verify,
            )
        case "cursor":
            return ByFollowing(size=size, looks_back=False, named="pagination.next")
        case "link":
            return ByFollowing(size=size, looks_back=pagination.verify, named="pagination.next")
        case "none":
            return InOne(size=size)


def parameters_of(step: Step, pagination: ApiPagination) -> Mapping[str, str]:
    """The parameters that ask for a page; an address has its own."""
    asked = {} if pagination.size_parameter is None else {pagination.size_parameter: str(step.size)}
    match pagination.style:
        case "offset":
            return {pagination.offset_parameter: str(step.position), **asked}
        case "page":
            return {pagination.page_parameter: str(step.position), **asked}
        case "cursor":
            return asked if step.position is None else {pagination.cursor_parameter: str(step.position), **asked}
        case "link":
            return asked if step.position is None else {}
        case "none":
            return {}
