"""``<schema>@<table>.yaml`` beside a data file: when and in which order its rows are loaded (DBGear's data model file)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from manor.errors import Finding, Place
from manor.typed_input import DbgearModel, check
from manor.yaml_reader import YamlDocument

SyncMode = Literal["drop_create", "update_diff", "replace", "manual"]


class DataSettingsFile(DbgearModel):
    """The keys of `<schema>@<table>.yaml`. Those about DBGear's editor are accepted and not acted on."""

    description: str | None = None
    """What the rows are; any text."""
    sync_mode: SyncMode = "drop_create"
    """How rows come into the table. All but `manual` load when a database is made; `manual` rows are never loaded by deploy."""
    dependencies: list[str] | None = None
    """Tables, as `schema@table`, whose rows must be loaded before these."""
    layout: Any = None
    """Arrangement in DBGear's editor. Accepted, not acted on."""
    settings: Any = None
    """Column settings of DBGear's editor. Accepted, not acted on."""
    value: Any = None
    """Value column of DBGear's editor. Accepted, not acted on."""
    caption: Any = None
    """Caption column of DBGear's editor. Accepted, not acted on."""
    segment: Any = None
    """Segment column of DBGear's editor. Accepted, not acted on."""
    x_axis: Any = None
    """Matrix layout of DBGear's editor. Accepted, not acted on."""
    y_axis: Any = None
    """Matrix layout of DBGear's editor. Accepted, not acted on."""
    cells: Any = None
    """Matrix layout of DBGear's editor. Accepted, not acted on."""
    data_type: Any = None
    """Kind of DBGear's data source: `yaml` is the `.dat` file beside it; the rows of `xlsx` and `python` are not loaded."""
    data_path: Any = None
    """Path of DBGear's data source. Accepted, not acted on."""
    data_args: Any = None
    """Arguments of DBGear's data source. Accepted, not acted on."""
    data_params: Any = None
    """Parameters of DBGear's data source. Accepted, not acted on."""


ACTED_ON = frozenset({"description", "sync_mode", "dependencies"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSettings:
    """What one settings file says about ``schema@table``."""

    sync_mode: SyncMode = "drop_create"
    dependencies: tuple[tuple[str, Place], ...] = ()
    """(``schema@table``, where it stands)."""
    not_acted_on: tuple[str, ...] = ()


def parse_settings(document: YamlDocument, subject: str) -> tuple[DataSettings, list[Finding]]:
    """The settings that ``document`` holds for ``subject`` (``schema@table``) and all that is wrong with it."""
    file, problems = check(DataSettingsFile, {} if document.value is None else document.value, document)
    if file is None:
        return DataSettings(), [problem.finding for problem in problems]
    ignored = sorted(name for name in file.model_fields_set - ACTED_ON if getattr(file, name) is not None)
    if file.data_type == "yaml":
        ignored = [name for name in ignored if name != "data_type"]
    if file.sync_mode == "manual":
        ignored.append("sync_mode: manual (its rows are not loaded)")
    dependencies = tuple((name, document.place(("dependencies", index))) for index, name in enumerate(file.dependencies or ()))
    return DataSettings(
        sync_mode=file.sync_mode,
        dependencies=dependencies,
        not_acted_on=tuple(f"{subject}.{name}" for name in ignored),
    ), []
