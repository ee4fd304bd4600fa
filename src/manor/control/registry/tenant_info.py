"""What a source of tenants tells about one of them: the reference's ``TenantInfo``, checked where it comes in."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from manor.errors import InvalidInput, Place
from manor.typed_input import check

Part = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", max_length=128)]
"""One part of a tenant's id, as ``tenancy.id_part_problem`` has it."""
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]*$", max_length=128)]
Text = Annotated[str, StringConstraints(max_length=1_000)]


def _aware(value: dt.datetime) -> dt.datetime:
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


Moment = Annotated[dt.datetime, AfterValidator(_aware)]
"""A point in time; one without a zone is UTC."""


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

    instances: Annotated[tuple[Part, ...], Field(min_length=1)] = ("main",)
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
