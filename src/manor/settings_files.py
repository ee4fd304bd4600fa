"""YAML files that hold settings: read, ``${NAME}`` in their values expanded, and checked against a shape.

What stands in them may be secret: no value gets into a message.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from manor.errors import Finding, InputError, InvalidInput
from manor.scan import expand_environment
from manor.yaml_reader import YamlDocument, parse_yaml, read_yaml

Shape = TypeVar("Shape")
KeyPath = tuple[str | int, ...]


def read_settings(path: Path, shown: str, shape: type[Shape], environment: Mapping[str, str] | None) -> Shape:
    """The file as a ``shape``; ``shown`` is what places call it. Raises ``InputError`` and ``InvalidInput`` with places."""
    return checked_settings(settings_document(path, shown, environment), shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unexpanded:
    """A value that could not be expanded and stayed as it was."""

    path: KeyPath
    finding: Finding
    unset: bool
    """Whether a variable is not set; else the value is written wrongly."""


def settings_document(path: Path, shown: str, environment: Mapping[str, str] | None) -> YamlDocument:
    """The file with ``${NAME}`` expanded in every value. Raises ``InvalidInput`` naming each variable that is not set."""
    document, left = expanded_document(path, shown, environment)
    if left:
        raise InvalidInput([one.finding for one in left])
    return document


def expanded_document(path: Path, shown: str, environment: Mapping[str, str] | None) -> tuple[YamlDocument, list[Unexpanded]]:
    """(the file with ``${NAME}`` expanded where that can be, what is left). The mappings and lists of its value are new."""
    document = read_yaml(path, shown_as=shown)
    if document.value is None:
        document = parse_yaml("{}", shown)
    left: list[Unexpanded] = []
    value = _expanded(document.value, (), _expander(document, os.environ if environment is None else environment, left))
    return YamlDocument(document.file, value, document._root), left


def _expander(document: YamlDocument, environment: Mapping[str, str], left: list[Unexpanded]) -> Callable[[str, KeyPath], str]:
    def expand(text: str, path: KeyPath) -> str:
        try:
            return expand_environment(text, environment)
        except InputError as error:
            missing = error.message.startswith("environment variable")
            message = error.message if missing else "a '${' here is neither a variable nor escaped"
            finding = Finding(message=message, place=document.place(path), hint=error.hint)
            left.append(Unexpanded(path=path, finding=finding, unset=missing))
            return text

    return expand


def _expanded(value: Any, path: KeyPath, expand: Callable[[str, KeyPath], str]) -> Any:
    if isinstance(value, dict):
        return {key: _expanded(item, (*path, key), expand) for key, item in value.items()}
    if isinstance(value, list):
        return [_expanded(item, (*path, index), expand) for index, item in enumerate(value)]
    return expand(value, path) if isinstance(value, str) and "$" in value else value


def checked_settings(document: YamlDocument, shape: type[Shape]) -> Shape:
    from manor.typed_input import check

    model, problems = check(shape, document.value, document, show=False)  # type: ignore[type-var]
    if model is None:
        raise InvalidInput([problem.finding for problem in problems])
    return model
