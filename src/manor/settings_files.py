"""YAML files that hold settings: read, ``${NAME}`` in their values expanded, and checked against a shape.

What stands in them may be secret: no value gets into a message.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from manor.errors import Finding, InputError, InvalidInput
from manor.scan import expand_environment
from manor.yaml_reader import YamlDocument, parse_yaml, read_yaml

Shape = TypeVar("Shape")


def read_settings(path: Path, shown: str, shape: type[Shape], environment: Mapping[str, str] | None) -> Shape:
    """The file as a ``shape``; ``shown`` is what places call it. Raises ``InputError`` and ``InvalidInput`` with places."""
    return checked_settings(settings_document(path, shown, environment), shape)


def settings_document(path: Path, shown: str, environment: Mapping[str, str] | None) -> YamlDocument:
    """The file with ``${NAME}`` expanded in every value. Raises ``InvalidInput`` naming each variable that is not set."""
    document = read_yaml(path, shown_as=shown)
    if document.value is None:
        document = parse_yaml("{}", shown)
    findings: list[Finding] = []
    value = _expanded(document.value, (), _expander(document, os.environ if environment is None else environment, findings))
    if findings:
        raise InvalidInput(findings)
    return YamlDocument(document.file, value, document._root)


def _expander(
    document: YamlDocument, environment: Mapping[str, str], findings: list[Finding]
) -> Callable[[str, tuple[str | int, ...]], str]:
    def expand(text: str, path: tuple[str | int, ...]) -> str:
        try:
            return expand_environment(text, environment)
        except InputError as error:
            missing = error.message.startswith("environment variable")
            message = error.message if missing else "a '${' here is neither a variable nor escaped"
            findings.append(Finding(message=message, place=document.place(path), hint=error.hint))
            return text

    return expand


def _expanded(value: Any, path: tuple[str | int, ...], expand: Callable[[str, tuple[str | int, ...]], str]) -> Any:
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
