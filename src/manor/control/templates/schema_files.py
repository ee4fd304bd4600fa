"""The schemas of folders: ``schema.yaml``, ``schema.sql``, and what a schema template renders for a tenant.

A file is parsed once; its layer is made once for all who use the same macros in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from manor.control.templates import schema_yaml
from manor.control.templates.folders import Folders, read_bytes
from manor.control.templates.macros import MacroProcessor, macro_names
from manor.control.templates.naming import Naming, SchemaRenderer
from manor.control.templates.schema_layer import SchemaLayer
from manor.errors import Finding, InputError, NotFoundError, Place
from manor.yaml_reader import MAX_FILE_BYTES, YamlDocument, read_yaml

Result = TypeVar("Result")
SQL_FILE = "schema.sql"


class ReadFile(Protocol):
    """Reads one file and reports what is wrong with it (``TemplateLoader``)."""

    def __call__(self, path: Path, read: Callable[[str], tuple[Result, list[Finding]]], /) -> Result | None:
        """What ``read`` makes of the file, given its shown path; None where it cannot be read."""
        ...


class SchemaFiles:
    """Reads the schemas of the folders of one project."""

    def __init__(self, folders: Folders, read: ReadFile, report: Callable[[Sequence[Finding]], None]) -> None:
        self.folders = folders
        self._read = read
        self._report = report
        self._documents: dict[Path, YamlDocument | None] = {}
        self._layers: dict[tuple[Path, frozenset[tuple[str, str]]], tuple[SchemaLayer, ...]] = {}

    def macros(self, folder: Path) -> frozenset[str]:
        """The macros that the folder's ``schema.yaml`` uses, in capitals."""
        document = self._document(folder)
        return macro_names(document.value) if document is not None else frozenset()

    def layers(self, folders: Sequence[Path], macros: Mapping[str, str]) -> list[SchemaLayer]:
        """The layers of all ``folders`` (farthest first); types of farther ones are known to the nearer."""
        found: list[SchemaLayer] = []
        for folder in folders:
            types = {name: kind for layer in found for name, kind in layer.types.items()}
            found.extend(self._of_folder(folder, types, macros))
        return found

    def _of_folder(self, folder: Path, types: schema_yaml.Types, macros: Mapping[str, str]) -> tuple[SchemaLayer, ...]:
        used = self.macros(folder)
        key = (folder, frozenset((name, value) for name, value in macros.items() if name in used))
        if key not in self._layers:
            self._layers[key] = tuple(self._read_layers(folder, types, macros))
        return self._layers[key]

    def _document(self, folder: Path) -> YamlDocument | None:
        """The parsed ``schema.yaml`` of the folder; None where there is none, or none that can be read."""
        path = folder / schema_yaml.FILE_NAME
        if folder not in self._documents:
            there = path.exists() or path.is_symlink()
            self._documents[folder] = self._read(path, lambda shown: (read_yaml(path, shown_as=shown), [])) if there else None
        return self._documents[folder]

    def _read_layers(self, folder: Path, types: schema_yaml.Types, macros: Mapping[str, str]) -> list[SchemaLayer]:
        layers = []
        path = folder / schema_yaml.FILE_NAME
        if path.exists() or path.is_symlink():
            layers.append(self._yaml_layer(self._document(folder), types, macros))
        path = folder / SQL_FILE
        if path.exists() or path.is_symlink():
            layers.append(self._read(path, lambda shown: _sql_layer(path, shown)) or SchemaLayer(file=SQL_FILE, broken=True))
        return layers

    def _yaml_layer(self, document: YamlDocument | None, types: schema_yaml.Types, macros: Mapping[str, str]) -> SchemaLayer:
        if document is None:
            return SchemaLayer(file=schema_yaml.FILE_NAME, broken=True)
        named, findings = document, list[Finding]()
        if macro_names(document.value):
            named, findings = MacroProcessor(macros).process_schema_manager(document)
        layer, more = schema_yaml.parse_schema(named, types) if not findings else (_broken(document), [])
        self._report([*findings, *more])
        return layer

    def rendered(
        self, renderer: SchemaRenderer | None, template: str, place: Place, naming: Naming, macros: Mapping[str, str]
    ) -> SchemaLayer:
        """The layer of a schema template for the tenant of ``naming``; ``place`` is where the template was named."""
        try:
            if renderer is None:
                raise InputError(
                    "there are no schema templates here", hint="declare them: multi_tenant.templates of project.yaml"
                )
            if naming.tenant is None:
                hint = "tenants of the directory have it: manor tenant provision"
                raise InputError(f"the schema template {template!r} is rendered for tenants only", hint=hint)
            document, findings = renderer.schema_document(template, naming.tenant, naming.config, macros)
            layer, more = schema_yaml.parse_schema(document, rendered=True) if not findings else (_broken(document), [])
            self._report([*findings, *more])
            return layer
        except (InputError, NotFoundError) as error:
            self._report([Finding(message=error.message, place=error.place or place, hint=error.hint)])
            return SchemaLayer(file=template, broken=True)


def _broken(document: YamlDocument) -> SchemaLayer:
    return SchemaLayer(file=document.file, broken=True)


def _sql_layer(path: Path, shown: str) -> tuple[SchemaLayer, list[Finding]]:
    from manor.control.templates.schema_sql import parse_schema_sql  # imports sqlglot, which few projects need

    return parse_schema_sql(decode(read_bytes(path, MAX_FILE_BYTES)), shown)


def decode(content: bytes) -> str:
    """Text of a file. Raises ``InputError`` where it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"the file is not UTF-8 (byte {error.start})", hint="save it as UTF-8") from error
