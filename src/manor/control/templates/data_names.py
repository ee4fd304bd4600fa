"""Names in a template folder that look like a data file's and are not: they would be passed over in silence. Pure."""

from __future__ import annotations

from pathlib import PurePath

from manor.control.templates.rows import ENDINGS, DataName
from manor.scan import suggest

SETTINGS_ENDING = ".yaml"
_MEANT = {".yml": SETTINGS_ENDING, ".xls": ".xlsx", ".xlsm": ".xlsx"}
_FORM = "<schema>@<table>.dat or <schema>@<table>#<segment>.dat"


def wrong_name(name: str) -> tuple[str, str] | None:
    """(what is wrong with the name of an entry of a template folder, hint), or None for one that is right or nobody's affair.

    Only a name with ``@`` or the ending ``.dat`` can be meant for data. Copies that editors leave (``…~``, ``#…#``) are not,
    nor are names that begin with ``_``: DBGear keeps choices of its editor there.
    """
    stem, ending = PurePath(name).stem, PurePath(name).suffix
    if ("@" not in name and ending != ".dat") or name.endswith(("~", "#")):
        return None
    if "@" in ending:
        stem, ending = name, ""
    if ending in (*ENDINGS, SETTINGS_ENDING):
        return None if DataName.parse(stem) else (f"{name} is not the name of a data file", f"name it {_FORM}")
    if name.startswith("_"):
        return None
    known = f"data files end in {', '.join(ENDINGS)}, their settings in {SETTINGS_ENDING}"
    message = f"{name} is not read: {known}"
    meant = _MEANT.get(ending.lower()) or _nearest(ending)
    return message, f"did you mean {stem + meant!r}?" if meant and DataName.parse(stem) else f"name it {_FORM}"


def _nearest(ending: str) -> str:
    hint = suggest(ending.lower(), (*ENDINGS, SETTINGS_ENDING))
    return hint.split("'")[1] if hint.startswith("did you mean") else ""
