"""Reads template folders: the only module of templates that touches files.

``TemplateLoader`` reads a file when the first template asks for it, keeps what it made of it, and reports what is wrong
with it once, so that one template serves thousands of targets and one ``schema.yaml`` serves all templates.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from manor.control.templates import data_settings, mapping, rows
from manor.control.templates.assemble import DataFile, Parts, assemble
from manor.control.templates.data_names import SETTINGS_ENDING, wrong_name
from manor.control.templates.data_settings import DataSettings
from manor.control.templates.dbgear_rows import DbgearCells
from manor.control.templates.folders import OUTSIDE, Folders, kind_problem, read_bytes
from manor.control.templates.macros import MacroProcessor, macro_names
from manor.control.templates.mapping import TemplateMapping
from manor.control.templates.migration_tables import MIGRATIONS, later_layer
from manor.control.templates.model import Template
from manor.control.templates.naming import EVERYBODY, Naming, SchemaRenderer
from manor.control.templates.rows import DataName, RawRows
from manor.control.templates.schema_files import SchemaFiles, decode
from manor.control.templates.schema_layer import SchemaLayer
from manor.control.templates.schema_merge import merge_layers
from manor.errors import Finding, InputError, Place
from manor.scan import suggest
from manor.yaml_reader import MAX_FILE_BYTES, read_yaml

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """One template folder and its mapping."""

    name: str
    folder: Path
    mapping: TemplateMapping


class TemplateLoader:
    """Turns template folders into ``Template`` values; ``findings`` grows as they are loaded."""

    def __init__(
        self,
        *,
        project: Path,
        environment: Path,
        foreign_keys: bool = True,
        renderer: SchemaRenderer | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """``environment`` is the registry's folder; ``foreign_keys=False`` is ``create_foreign_key_constraints: false``;
        ``renderer`` has the project's schema templates; ``variables`` are the environment's settings, for DBGear's rows."""
        self.folders = Folders.at(project, environment)
        self.foreign_keys = foreign_keys
        self.findings: list[Finding] = []
        self._reported: set[tuple[Place, str]] = set()
        self.renderer = renderer
        self.variables = variables or {}
        self._templates: dict[tuple[str, Hashable], Template | None] = {}
        self._sources: dict[str, _Source | None] = {}
        self._absent: dict[str, InputError] = {}
        self._schemas = SchemaFiles(self.folders, self._read, self._report)
        self._rows: dict[Path, RawRows | None] = {}
        self._settings: dict[Path, DataSettings | None] = {}

    def load(self, name: str, *, used_at: Place | None = None, naming: Naming = EVERYBODY) -> Template | None:
        """The template ``name``, or None where it cannot be made out; what is wrong is in ``findings``.

        A template is returned even if its rows or its isolation have findings, so that more is checked in the same pass: use
        it for a database only while no finding is an error. ``used_at`` is where the name was written. With ``naming`` it may
        differ from tenant to tenant, in its schema and so in its digests; tenants whose macros it does not use share one.
        """
        chain = self._chain(name, used_at)
        if chain is None:
            return None
        macros = self._macros(chain, naming)
        key = (name, _variant(chain, naming, macros))
        if key not in self._templates:
            self._templates[key] = self._load(chain, naming, macros)
        return self._templates[key]

    def variant(self, name: str, naming: Naming) -> Hashable:
        """Equal for those who get the same ``Template`` from ``load``; None for a template that cannot be made out.

        A plan has one schema per template name: whoever plans for several tenants must ask, and keep apart those that differ.
        """
        chain = self._chain(name, None)
        return _variant(chain, naming, self._macros(chain, naming)) if chain is not None else None

    def _macros(self, chain: Sequence[_Source], naming: Naming) -> Mapping[str, str]:
        """The macros that count for a template, by name in capitals: those that it uses, the tenant's before its own."""
        given = {name: value for source in reversed(chain) for name, value in source.mapping.name_macros.items()}
        given |= {name.upper(): value for name, value in naming.macros.items()}
        if chain[0].mapping.schema_template is not None:
            return given
        used = frozenset().union(*(self._schemas.macros(folder) for folder in self._schema_folders(chain)))
        names = used.union(*(macro_names(path.stem) for source in chain for path in self._listing(source)))
        return {name: value for name, value in given.items() if name in names}

    def _report(self, findings: Sequence[Finding]) -> None:
        for finding in findings:
            mark = (finding.place, finding.message)
            if mark not in self._reported:
                self._reported.add(mark)
                self.findings.append(finding)

    def _report_error(self, error: InputError, place: Place) -> None:
        self._report([Finding(message=error.message, place=error.place or place, hint=error.hint)])

    def _load(self, chain: Sequence[_Source], naming: Naming, macros: Mapping[str, str]) -> Template | None:
        own = chain[0]
        layers = self._schemas.layers(self._schema_folders(chain), macros)
        rendered = self._rendered_layers(own, naming, macros)
        if any(layer.broken for layer in (*layers, *rendered)):
            return None
        later = self._later(own, [*layers, *rendered])
        instances = (*own.mapping.instances, *sorted(name for layer in rendered for name in layer.schemas))
        merged, findings = merge_layers([*layers, *rendered, *later], instances)
        self._report(findings)
        if not rendered:
            self._check_instances(own, [*layers, *later])
        data, unloaded = self._data_files(chain, instances, MacroProcessor(macros))
        parts = Parts(
            name=own.name,
            folder=self.folders.show(own.folder),
            mappings=[source.mapping for source in chain],
            merged=merged,
            data=data,
            settings=self._data_settings(chain, instances, MacroProcessor(macros)),
            not_acted_on=tuple(unloaded),
            later=frozenset(name for layer in later for _, name in layer.tables),
        )
        template, findings = assemble(parts, foreign_keys=self.foreign_keys)
        self._report(findings)
        return template

    # Mappings and bases

    def _chain(self, name: str, used_at: Place | None) -> list[_Source] | None:
        """The template and its bases, nearest first."""
        chain: list[_Source] = []
        while True:
            source = self._source(name, used_at)
            if source is None:
                return None
            chain.append(source)
            if source.mapping.base is None:
                return chain
            name, used_at = source.mapping.base, source.mapping.base_place
            names = [link.name for link in chain]
            if name in names:
                circle = " -> ".join((*names[names.index(name) :], name))
                self._report([Finding(message=f"templates inherit from each other in a circle: {circle}", place=used_at)])
                return None

    def _source(self, name: str, used_at: Place | None) -> _Source | None:
        if name not in self._sources and name not in self._absent:
            try:
                folder = self.folders.template(name)
            except InputError as error:
                self._absent[name] = error
            else:
                parsed = self._read_mapping(folder / mapping.FILE_NAME)
                self._sources[name] = _Source(name=name, folder=folder, mapping=parsed) if parsed else None
        if name in self._absent:
            self._report_error(self._absent[name], used_at or Place(self.folders.show(self.folders.environment)))
            return None
        return self._sources[name]

    def _read_mapping(self, path: Path) -> TemplateMapping | None:
        if not path.exists():
            other = path.with_suffix(".yml")
            hint = f"rename {other.name}" if other.exists() else "it names at least the schemas: instances: [main]"
            self._report([Finding(message=f"{path.name} is missing", place=Place(self.folders.show(path)), hint=hint)])
            return None

        def read(shown: str) -> tuple[TemplateMapping | None, list[Finding]]:
            return mapping.parse_mapping(read_yaml(path, shown_as=shown))

        return self._read(path, read)

    def _read(self, path: Path, read: Callable[[str], tuple[Result, list[Finding]]]) -> Result | None:
        """What ``read`` makes of one file, given its shown path; None where it cannot be read at all."""
        place = Place(self.folders.show(path))
        if not self.folders.contains(path):
            self._report([Finding(message=f"the file {OUTSIDE}", place=place, hint="it is a symbolic link that leads out")])
            return None
        problem = kind_problem(path)
        if problem:
            self._report([Finding(message=problem, place=place, hint="put a plain file in its place, or take it away")])
            return None
        try:
            result, findings = read(place.file)
        except InputError as error:
            self._report_error(error, place)
            return None
        self._report(findings)
        return result

    # Schemas

    def _schema_folders(self, chain: Sequence[_Source]) -> list[Path]:
        """Farthest first."""
        return [*self.folders.roots, *(source.folder for source in reversed(chain))]

    def _rendered_layers(self, own: _Source, naming: Naming, macros: Mapping[str, str]) -> list[SchemaLayer]:
        template, place = own.mapping.schema_template, own.mapping.schema_template_place
        return [self._schemas.rendered(self.renderer, template, place, naming, macros)] if template is not None else []

    def _check_instances(self, own: _Source, layers: Sequence[SchemaLayer]) -> None:
        known = {name for layer in layers for name in layer.schemas}
        if any(layer.sql is not None for layer in layers):
            return
        shown = self.folders.show(own.folder / mapping.FILE_NAME)
        for name, place in zip(own.mapping.instances, own.mapping.instance_places, strict=True):
            if name not in known:
                hint = suggest(name, known) or f"define it in schema.yaml beside {shown}, in the environment or in the project"
                self._report([Finding(message=f"no schema.yaml defines the schema {name!r}", place=place, hint=hint)])

    def _later(self, own: _Source, layers: Sequence[SchemaLayer]) -> list[SchemaLayer]:
        """What only the migrations of the project, the environment and the template make."""
        folders = [folder / MIGRATIONS for folder in (*self.folders.roots, own.folder)]
        files = [file for folder in folders if folder.is_dir() for file in sorted(folder.glob("*.sql")) if file.is_file()]
        texts = [decode(read_bytes(file, MAX_FILE_BYTES)) for file in files if self.folders.contains(file)]
        return [later_layer(texts, layers)] if texts else []

    # Rows

    def _listing(self, source: _Source) -> list[Path]:
        try:
            return self.folders.entries(source.folder)
        except InputError as error:
            self._report_error(error, Place(self.folders.show(source.folder)))
            return []

    def _data_files(
        self, chain: Sequence[_Source], instances: Sequence[str], macros: MacroProcessor
    ) -> tuple[list[DataFile], list[str]]:
        """The data files of the template and, for its schemas, of its bases; and the names of those that are passed over."""
        found: dict[DataName, Path] = {}
        unloaded: list[str] = []
        for index, source in enumerate(chain):
            self._report_wrong_names(source)
            for name, path in self._named_files(source, rows.ENDINGS, macros):
                if name.schema.startswith("_") or (source.mapping.dbgear and not _has_data_model(path)):
                    unloaded.append(self.folders.show(path))  # DBGear keeps choices of its editor in such files
                elif self._belongs(name, path, instances, own=index == 0):
                    self._take(found, name, path, source)
        files = []
        for name in sorted(found):
            raw = self._read_rows(found[name], name, chain)
            if raw is not None:
                files.append(DataFile(name=name, rows=raw))
        return files, unloaded

    def _report_wrong_names(self, source: _Source) -> None:
        for path in self._listing(source):
            wrong = wrong_name(path.name)
            if wrong:
                message, hint = wrong
                self._report([Finding(message=message, place=Place(self.folders.show(path)), hint=hint)])

    def _named_files(self, source: _Source, endings: Sequence[str], macros: MacroProcessor) -> list[tuple[DataName, Path]]:
        found = [(self._data_name(path, macros), path) for path in self._listing(source) if path.suffix in endings]
        return [(name, path) for name, path in found if name is not None]

    def _data_name(self, path: Path, macros: MacroProcessor) -> DataName | None:
        try:
            return DataName.parse(macros.process(path.stem))
        except InputError as error:
            self._report_error(error, Place(self.folders.show(path)))
            return None

    def _belongs(self, name: DataName, path: Path, instances: Sequence[str], *, own: bool) -> bool:
        if name.schema in instances:
            return True
        if own:
            message = f"the schema {name.schema!r} is not one of this template's instances"
            hint = suggest(name.schema, instances)
            self._report([Finding(message=message, place=Place(self.folders.show(path)), hint=hint)])
        return False

    def _take(self, found: dict[DataName, Path], name: DataName, path: Path, source: _Source) -> None:
        before = found.setdefault(name, path)
        if before != path and before.parent == source.folder:
            message = f"{before.name} holds the same segment of the same table"
            hint = "tell them apart: <schema>@<table>#<segment>"
            self._report([Finding(message=message, place=Place(self.folders.show(path)), hint=hint)])

    def _read_rows(self, path: Path, name: DataName, chain: Sequence[_Source]) -> RawRows | None:
        if path not in self._rows:
            source = next(source for source in chain if source.folder == path.parent)
            cells = self._dbgear_cells(source, name).read if source.mapping.dbgear else None
            self._rows[path] = self._read(path, lambda shown: _parse_rows(path, shown, cells))
        return self._rows[path]

    def _dbgear_cells(self, source: _Source, name: DataName) -> DbgearCells:
        context = {
            "folder": self.folders.project.as_posix(),
            "environ": self.folders.environment.name,
            "map_name": source.name,
            "schema_name": name.schema,
            "table_name": name.table,
        }
        return DbgearCells({**context, **self.variables})

    def _data_settings(
        self, chain: Sequence[_Source], instances: Sequence[str], macros: MacroProcessor
    ) -> dict[DataName, tuple[DataSettings, Place]]:
        found: dict[DataName, tuple[DataSettings, Place]] = {}
        for source in chain:
            for name, path in self._named_files(source, (SETTINGS_ENDING,), macros):
                if name.schema not in instances or name in found:
                    continue
                if path not in self._settings:
                    self._settings[path] = self._read(path, _settings_reader(path, name))
                settings = self._settings[path]
                if settings is not None:
                    found[name] = (settings, Place(self.folders.show(path), 1, 1))
        return found


def _variant(chain: Sequence[_Source], naming: Naming, macros: Mapping[str, str]) -> Hashable:
    rendered = chain[0].mapping.schema_template is not None
    tenant = naming.tenant.tenant_id if rendered and naming.tenant is not None else None
    return frozenset(macros.items()), tenant


def _has_data_model(path: Path) -> bool:
    """DBGear loads rows where a data model asks for them."""
    return path.with_name(path.stem.partition("#")[0] + SETTINGS_ENDING).exists()


def _settings_reader(path: Path, name: DataName) -> Callable[[str], tuple[DataSettings, list[Finding]]]:
    return lambda shown: data_settings.parse_settings(read_yaml(path, shown_as=shown), name.subject)


def _parse_rows(path: Path, shown: str, read_cell: rows.ReadCell | None) -> tuple[RawRows, list[Finding]]:
    if path.suffix == ".dat":
        return rows.parse_dat(read_yaml(path, shown_as=shown, tags=rows.TAGS), read_cell)
    if path.suffix == ".csv":
        return rows.parse_csv(read_bytes(path, rows.MAX_TABULAR_BYTES), shown)
    return _parse_workbook(path, shown)


def _parse_workbook(path: Path, shown: str) -> tuple[RawRows, list[Finding]]:
    from manor.control.templates.spreadsheets import read_sheet

    try:
        sheet = read_sheet(path, shown)
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror}") from error
    raw, findings = rows.parse_xlsx(sheet.rows, shown, unusable=sheet.unusable)
    return raw, [*sheet.findings, *findings]
