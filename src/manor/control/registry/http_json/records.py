"""From an API's records to tenants: each field from where the settings say that it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from manor.api_shapes import TenantField
from manor.collector import paused_collector
from manor.control.registry.http_json.expressions import Expression
from manor.control.registry.tenant_info import FIELDS, TenantInfo
from manor.errors import Code, Finding, InputError, InvalidInput, ManorError, Place
from manor.typed_input import describe

_TENANTS = TypeAdapter(list[TenantInfo])
_NUMBERS_ARE_TEXT = ("tenant_id", "customer_code", "customer_name")
"""Fields in which an API's whole number is as good as text."""


class Records:
    """Reads the records of one API."""

    def __init__(self, fields: Mapping[TenantField, str], *, found_by: str = "items") -> None:
        """``fields``: JMESPath by field; the others are the record's keys. ``found_by``: the setting that finds the records.

        Raises ``InputError`` for what is no JMESPath.
        """
        self._found_by = found_by
        self._mapped = tuple((name, Expression(text, f"fields.{name}")) for name, text in fields.items())
        self._plain = tuple(name for name in FIELDS if name not in fields)
        self._plain_records = not fields
        self._id = Expression(fields.get("tenant_id", "tenant_id"), "fields.tenant_id")

    def id_of(self, item: Any) -> str | None:
        """The id of a record, unchecked; None where it has none."""
        found = self._id.find(item)
        return None if found is None else str(found)

    def tenants(self, items: Sequence[Any], url: str, number: int) -> list[TenantInfo]:
        """The tenants of one page, whose first record is number ``number`` of the list.

        Raises ``InvalidInput`` with one finding for each thing that is wrong with a record.
        """
        try:
            with paused_collector():  # which would take two thirds of the time
                return self._as_they_are(items) or _TENANTS.validate_python(self._rows(items, url, number))
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False, include_input=True)
        raise InvalidInput([self._finding(detail, items, url, number) for detail in details])

    def _as_they_are(self, items: Sequence[Any]) -> list[TenantInfo] | None:
        """Records that need no change: they have our keys and no others. Of an API that has others it is tried once."""
        if not self._plain_records:
            return None
        try:
            return _TENANTS.validate_python(items)
        except ValidationError:
            self._plain_records = False
            return None

    def tenant(self, item: Any, url: str) -> TenantInfo:
        """The one tenant of an answer. Raises ``InvalidInput``, ``ManorError`` (CORRUPT) where there is no record."""
        if not isinstance(item, Mapping):
            raise ManorError(
                f"{url} answers without a record ({describe(item)})", code=Code.CORRUPT, hint="is the setting tenant right?"
            )
        return self.tenants([item], url, 1)[0]

    def _rows(self, items: Sequence[Any], url: str, number: int) -> list[Any]:
        rows = []
        for index, item in enumerate(items):
            try:
                rows.append(self._row(item))
            except InputError as error:
                raise InputError(error.message, place=self._place(item, url, number + index), hint=error.hint) from None
        return rows

    def _row(self, item: Any) -> Any:
        if not isinstance(item, Mapping):
            return item
        row: dict[str, Any] = {name: value for name in self._plain if (value := item.get(name)) is not None}
        for name, expression in self._mapped:
            if (value := expression.find(item)) is not None:
                row[name] = value
        for text in _NUMBERS_ARE_TEXT:
            if type(row.get(text)) is int:
                row[text] = str(row[text])
        return row

    def _finding(self, detail: Any, items: Sequence[Any], url: str, number: int) -> Finding:
        index, *path = detail["loc"]
        place = self._place(items[index], url, number + index)
        if not path:
            return Finding(
                message=f"is not a record but {describe(detail['input'])}",
                place=place,
                hint=f"is the setting {self._found_by} right?",
            )
        name = ".".join(str(step) for step in path)
        if detail["type"] == "missing":
            return Finding(
                message=f"has no {name}", place=place, hint=f"say under fields where it stands: fields: {{{name}: …}}"
            )
        said = detail["msg"].removeprefix("Value error, ")
        why = said[:1].lower() + said[1:]
        return Finding(message=f"{name}: {why}; found {describe(detail['input'])}", place=place, hint=_hint(str(path[0])))

    def _place(self, item: Any, url: str, number: int) -> Place:
        found = item.get("tenant_id") if isinstance(item, Mapping) and "tenant_id" in self._plain else None
        return Place(f"{url}, record {number}" + (f" ({found})" if isinstance(found, str | int) else ""))


def _hint(name: str) -> str:
    return f"fields.{name} can turn the API's value into ours; it is JMESPath"
