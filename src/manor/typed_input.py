"""What a user wrote, checked against a pydantic model: every problem becomes a finding with place, cause and hint.

Assumes plain values from ``yaml_reader`` (so ``no`` is text and a fraction is a ``Decimal``) and models that derive from
``StrictModel``. Unions of models are told apart by a ``Tag`` that begins with ``TAG``, so that it is never mistaken for a key.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Tag, ValidationError, WithJsonSchema, model_validator

from manor.errors import Finding, Place
from manor.scan import suggest

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

TAG = "<"
"""First character of the tags of a union's members; no mapping key of ours begins with it."""

KIND = "type"
"""The key whose value tells the members of a union apart."""


class StrictModel(BaseModel):
    """A mapping with known keys only, no conversion of types, and values that do not change."""

    # Built on first use: a command reads one or two kinds of files, and building all of them takes longer than reading those.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The fields' docstrings are their descriptions (pydantic's own way reads the sources at every import)."""
        shape = handler(core_schema)
        properties = handler.resolve_ref_schema(shape).get("properties", {})
        for name, text in attribute_docstrings(cls).items():
            if name in properties:
                properties[name]["description"] = text
        return shape


class DbgearModel(StrictModel):
    """A mapping of DBGear's, which reads ``column_name`` and saves ``columnName``: both spellings of a key work."""

    @model_validator(mode="before")
    @classmethod
    def _spell_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict) or all(key in cls.model_fields or key.islower() for key in value):
            return value
        spelled = {_snake_case(key) if _snake_case(key) in cls.model_fields else key: item for key, item in value.items()}
        if len(spelled) < len(value):
            raise ValueError("has a key in both spellings, such as column_name and columnName; keep one of them")
        return spelled


def _snake_case(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])[A-Z]", lambda found: f"_{found.group(0).lower()}", key)


def attribute_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The text below each attribute, by attribute; a nearer class wins over its bases."""
    found: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, StrictModel):
            found |= _docstrings_in(owner)
    return found


def _docstrings_in(owner: type) -> dict[str, str]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    return {
        above.target.id: inspect.cleandoc(below.value.value)
        for above, below in itertools.pairwise(body)
        if isinstance(above, ast.AnnAssign)
        and isinstance(above.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }


def _to_decimal(value: Any) -> Any:
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


Number = Annotated[Decimal, BeforeValidator(_to_decimal), WithJsonSchema({"type": "number"})]
"""A whole number or a fraction, kept exactly as written."""


class Places(Protocol):
    """Knows where a value stands (``YamlDocument`` does)."""

    def place(self, path: Sequence[str | int] = (), *, key: bool = False) -> Place:
        """The place of the value at ``path``, or of its key."""
        ...


Path = tuple[str | int, ...]
ModelType = TypeVar("ModelType", bound=BaseModel)


class Problem(typing.NamedTuple):
    """One finding and the path of the value that it is about; ``kind`` is pydantic's name of the error."""

    path: Path
    kind: str
    finding: Finding
    of_key: bool = False
    """It is about the name of the key, not about the value."""


def check(model: type[ModelType], value: Any, places: Places, *, show: bool = True) -> tuple[ModelType | None, list[Problem]]:
    """``value`` as a ``model``, or None and all that is wrong with it.

    ``show=False`` keeps the values themselves out of the messages, for files that hold secrets.
    """
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True, include_input=True)
    return None, [_problem(model, detail, places, show) for detail in details]


def _problem(model: type[BaseModel], detail: Any, places: Places, show: bool) -> Problem:
    kind, location = detail["type"], detail["loc"]
    path = tuple(step for step in location if not (isinstance(step, str) and (step.startswith(TAG) or step == "[key]")))
    message, hint = _explain(model, detail, show)
    if kind == "missing":
        place = places.place(path[:-1], key=True)
    elif kind in _UNKNOWN_TAG and isinstance(detail["input"], dict) and KIND in detail["input"]:
        place = places.place((*path, KIND))
    else:
        place = places.place(path, key=kind == "extra_forbidden" or kind in _UNKNOWN_TAG or "[key]" in location)
    finding = Finding(message=f"{_dotted(path[:-1])}{message}", place=place, hint=hint)
    return Problem(path, kind, finding, of_key="[key]" in location)


def _dotted(path: Path) -> str:
    return ".".join(str(step) for step in path) + ": " if path else ""


_MUST_BE = {
    "int_type": "a whole number",
    "decimal_type": "a number",
    "is_instance_of": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
}
_UNKNOWN_TAG = ("union_tag_not_found", "union_tag_invalid")
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}


def _explain(model: type[BaseModel], detail: Any, show: bool) -> tuple[str, str]:
    kind, found, context = detail["type"], detail["input"], detail.get("ctx", {})
    name = detail["loc"][-1] if detail["loc"] else ""
    if name == "[key]":
        return f"the name {detail['loc'][-2]!r} is not allowed", _rule(context)
    if kind == "extra_forbidden":
        return f"unknown key {name!r}", suggest(str(name), known_keys(model, detail["loc"][:-1]))
    if kind == "missing":
        return f"the key {name!r} is missing", ""
    if kind in _MUST_BE:
        return f"{_named(name)}must be {_MUST_BE[kind]}, found {describe(found, show)}", _type_hint(kind, found)
    if kind in _BOUNDS:
        words, key = _BOUNDS[kind]
        return f"{_named(name)}must be {words} {context[key]}, found {describe(found, show)}", ""
    if kind in _UNKNOWN_TAG:
        return _explain_tag(model, detail, show)
    if kind == "literal_error":
        return _explain_choice(name, found, context, show)
    if kind == "value_error":
        return f"{_named(name)}{context['error']}", ""
    if kind == "string_pattern_mismatch":
        return f"{_named(name)}is not written as it must be: {describe(found, show)}", _rule(context)
    return f"{_named(name)}{detail['msg'][:1].lower()}{detail['msg'][1:]}", ""


def _named(name: Any) -> str:
    return f"item {name + 1} " if isinstance(name, int) else f"{name} " if name else "the file "


def _rule(context: Mapping[str, Any]) -> str:
    return f"it must match {context['pattern']}" if "pattern" in context else ""


def _type_hint(kind: str, found: Any) -> str:
    if kind == "string_type" and isinstance(found, (int, Decimal)):
        return "put it in quotes"
    if kind in ("int_type", "decimal_type", "is_instance_of") and isinstance(found, str):
        return "write it without quotes"
    if kind == "bool_type" and str(found).lower() in ("yes", "no", "on", "off", "true", "false", "1", "0"):
        return "write true or false, without quotes"
    return ""


def _explain_choice(name: Any, found: Any, context: Mapping[str, Any], show: bool) -> tuple[str, str]:
    expected = str(context.get("expected", ""))
    choices = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
    return f"{_named(name)}must be {expected}, found {describe(found, show)}", _nearest(found, choices, show)


def _explain_tag(model: type[BaseModel], detail: Any, show: bool) -> tuple[str, str]:
    """The value of ``KIND`` decides which member of a union a mapping is."""
    name, found = detail["loc"][-1], detail["input"]
    if not isinstance(found, dict):
        return f"{_named(name)}must be a mapping, found {describe(found, show)}", ""
    union = _at(model, detail["loc"])
    choices = [tag.removeprefix(TAG) for member in typing.get_args(union) for tag in _tags(member)]
    expected = " or ".join(repr(choice) for choice in choices)
    if KIND not in found:
        return f"{_named(name)}lacks the key {KIND!r}", f"write {KIND}: {' or '.join(choices)}"
    return f"{KIND} must be {expected}, found {describe(found[KIND], show)}", _nearest(found[KIND], choices, show)


def _nearest(found: Any, choices: list[str], show: bool) -> str:
    hint = suggest(found, choices) if isinstance(found, str) and show else ""
    return "" if hint.startswith("known") else hint


def describe(value: Any, show: bool = True) -> str:
    """A value in a message: its kind and, where it may be shown, a short form of it on one line."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    kind = "text" if isinstance(value, str) else "true or false" if isinstance(value, bool) else "the number"
    shown = str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)
    if not show:
        return "a number" if kind == "the number" else kind
    short = shown if len(shown) <= 60 else shown[:57] + "..."
    return short if isinstance(value, bool) else f"{kind} {short}"


def known_keys(model: Any, location: Iterable[str | int]) -> tuple[str, ...]:
    """The keys of the model that stands at ``location`` (pydantic's, tags included) below ``model``."""
    current = _plain(_at(model, location))
    return tuple(current.model_fields) if _is_model(current) else ()


def _at(model: Any, location: Iterable[str | int]) -> Any:
    current: Any = model
    for step in location:
        current = _member(_plain(current), step)
    return _plain(current)


def _member(annotation: Any, step: str | int) -> Any:
    if isinstance(step, str) and step.startswith(TAG):
        return next((member for member in typing.get_args(annotation) if step in _tags(member)), None)
    if _is_model(annotation):
        field = annotation.model_fields.get(step)
        return field.annotation if field else None
    arguments = typing.get_args(annotation)
    return arguments[-1 if typing.get_origin(annotation) is dict else 0] if arguments else None


def _plain(annotation: Any) -> Any:
    """The annotation without ``Annotated`` and without ``| None``."""
    while typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(annotation) if member is not type(None)]
        if len(members) == 1:
            return _plain(members[0])
    return annotation


def _tags(annotation: Any) -> list[str]:
    return [note.tag for note in typing.get_args(annotation)[1:] if isinstance(note, Tag)]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
