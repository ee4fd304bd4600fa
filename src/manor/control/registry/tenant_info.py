"""What a source of tenants tells about one of them: the reference's ``TenantInfo``, checked where it comes in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from manor.errors import InvalidInput, Place
from manor.typed_input import check

Part = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=128)]
"""One part of a tenant's id, as ``tenancy.id_part_problem`` has it."""
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]*$", max_length=128)]
Text = Annotated[str, StringConstraints(max_length=1_000)]


BEFORE_TIMES = frozenset({"", "T", " "})
"""What may stand between a date and a time."""
_EARLIEST = dt.datetime(2000, 1, 1, tzinfo=dt.UTC).timestamp()
_LATEST = dt.datetime(2100, 1, 1, tzinfo=dt.UTC).timestamp()


def iso_moment(text: str) -> dt.datetime:
    """A text of ISO 8601 in UTC, which one without a zone is. Raises ``ValueError``; digits alone are a day, never seconds."""
    if text[10:11] not in BEFORE_TIMES:  # Python takes any, and would read 2026-01-31+09:00 as nine o'clock
        raise ValueError(text)
    try:
        return _aware(dt.datetime.fromisoformat(text))
    except OverflowError:
        raise ValueError(text) from None


def _aware(value: dt.datetime) -> dt.datetime:
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


def _moment(value: Any) -> dt.datetime:
    try:
        if isinstance(value, str):
            return iso_moment(value)
        if isinstance(value, dt.datetime):
            return _aware(value)
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            return _since_1970(value)
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be a point in time of ISO 8601, such as 2026-01-31T09:30:00Z")


def _since_1970(number: float | Decimal) -> dt.datetime:
    """Seconds or milliseconds, whichever lie in this century: what does not is another notation, such as 20260131."""
    seconds = next((one for one in (float(number), float(number) / 1000) if _EARLIEST <= one < _LATEST), None)
    if seconds is None:
        raise ValueError(number)
    return dt.datetime.fromtimestamp(seconds, dt.UTC)


Moment = Annotated[dt.datetime, BeforeValidator(_moment)]
"""A point in time; a text of ISO 8601, where one without a zone is UTC, or a number of seconds or milliseconds since 1970."""


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) > 1 and len(set(names)) < len(names):
        raise ValueError("must have each name once")
    return names


class TenantInfo(BaseModel):
    """One tenant as its source knows it. Values that do not change; compared and copied as a whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant_id: Part
    """Unique within its source."""
    customer_code: Part
    customer_name: Text = ""
    region: Word = ""
    tier: Word = "standard"
    """``basic``, ``standard``, ``premium``, ``enterprise``, or a word of the product's own."""
    status: Literal["active", "inactive", "suspended", "terminated"] = "active"
    created_at: Moment | None = None
    updated_at: Moment | None = None

    isolation_strategy: Literal["database", "schema", "table"] = "database"
    database_prefix: Word | None = None
    schema_suffix: Word | None = None
    table_prefix: Word | None = None

    instances: Annotated[tuple[Part, ...], Field(min_length=1), AfterValidator(_each_once)] = ("main",)
    """``main``, ``test``, ``staging``…: one database each."""

    billing_info: Mapping[str, Any] | None = None
    contract_info: Mapping[str, Any] | None = None


FIELDS: tuple[str, ...] = tuple(TenantInfo.model_fields)
"""Names of all fields, in the reference's order."""


def tenant_at(values: Mapping[str, Any], place: Place) -> TenantInfo:
    """One tenant from values by field, which stand at ``place``. Raises ``InvalidInput`` with all that is wrong with them."""
    info, problems = check(TenantInfo, values, _Whole(at=place))
    if info is None:
        raise InvalidInput([problem.finding for problem in problems])
    return info


@dataclass(frozen=True, slots=True, kw_only=True)
class _Whole:
    """Rows have one place for all of their values."""

    at: Place

    def place(self, path: Sequence[str | int] = (), *, key: bool = False) -> Place:  # noqa: ARG002 - of the protocol
        return self.at
