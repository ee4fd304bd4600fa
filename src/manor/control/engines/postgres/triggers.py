"""Triggers as declared to plpgsql functions and CREATE TRIGGER.

A body may be PostgreSQL's or simple MySQL: ``SET NEW.column = …``, ``SIGNAL SQLSTATE … SET MESSAGE_TEXT = …`` and backticks
are translated, anything else is taken as it stands. plpgsql wants a RETURN, which MySQL does not know: it is added where the
body has none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from manor.control.engines.postgres.expressions import backticks_to_quotes, code_only, translate_expression
from manor.control.engines.postgres.quoting import quote_identifier, shorten_name
from manor.control.templates.model import Table, Trigger
from manor.errors import InputError, Place

_TIMINGS = ("BEFORE", "AFTER", "INSTEAD OF")
_EVENT = re.compile(r"INSERT|DELETE|TRUNCATE|UPDATE(?:\s+OF\s+(?P<columns>.+))?", re.I | re.S)
_EVENT_SEPARATOR = re.compile(r"\s+OR\s+|\s*/\s*|\s*,\s*(?=(?:INSERT|UPDATE|DELETE|TRUNCATE)\b)", re.I)
_BLOCK = re.compile(r"\s*(?:<<\w+>>\s*)?(?:DECLARE\b|BEGIN\b).*\bEND\s*;?\s*", re.I | re.S)
_RETURN = re.compile(r"\bRETURN\b", re.I)
_SET_NEW = re.compile(r"\bSET\s+NEW\s*\.\s*(\"[^\"]+\"|\w+)\s*:?=", re.I)
_SIGNAL = re.compile(
    r"\bSIGNAL\s+SQLSTATE\s+(?:VALUE\s+)?('\w{5}')\s+SET\s+MESSAGE_TEXT\s*=\s*('(?:[^']|'')*'|\"[^\"]*\"|[\w.]+)", re.I
)


def compile_trigger(trigger: Trigger, function: str, *, place: Place | None = None) -> list[str]:
    """The function named ``function`` and the trigger that calls it. Raises ``InputError`` for an unknown timing or event."""
    timing = " ".join(trigger.timing.upper().split())
    if timing not in _TIMINGS:
        hint = f"known here: {', '.join(_TIMINGS)}"
        raise InputError(f"trigger {trigger.name!r}: the timing {trigger.timing!r} is not known", place=place, hint=hint)
    events, for_rows = _events(trigger, place)
    condition = f" WHEN ({translate_expression(trigger.condition, place=place)})" if trigger.condition else ""
    name, called = quote_identifier(shorten_name(trigger.name)), quote_identifier(function)
    return [
        _function(called, _block(trigger)),
        f"CREATE TRIGGER {name} {timing} {events} ON {quote_identifier(trigger.table)} "
        f"FOR EACH {'ROW' if for_rows else 'STATEMENT'}{condition} EXECUTE FUNCTION {called}()",
    ]


def compile_touch(table: Table, columns: Sequence[str]) -> list[str]:
    """ON UPDATE CURRENT_TIMESTAMP: as in MySQL only when the update changes something and does not set the column itself."""
    lines = [
        f"IF NEW.{name} IS NOT DISTINCT FROM OLD.{name} THEN NEW.{name} := CURRENT_TIMESTAMP; END IF;"
        for name in map(quote_identifier, columns)
    ]
    # *<> compares stored bytes: <> would fail on types without equality, such as point.
    body = "BEGIN\nIF NEW *<> OLD THEN\n" + "\n".join(lines) + "\nEND IF;\nRETURN NEW;\nEND;"
    function = quote_identifier(shorten_name(f"{table.name}_on_update"))
    return [
        _function(function, body),
        f"CREATE TRIGGER {function} BEFORE UPDATE ON {quote_identifier(table.name)} FOR EACH ROW EXECUTE FUNCTION {function}()",
    ]


def _function(name: str, body: str) -> str:
    tag = "$manor$"
    while tag in body:
        tag = f"{tag[:-1]}_$"
    return f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS {tag}\n{body}\n{tag}"


def _events(trigger: Trigger, place: Place | None) -> tuple[str, bool]:
    """The event list as SQL and whether it is about rows."""
    events = []
    for written in _EVENT_SEPARATOR.split(trigger.event.strip()):
        match = _EVENT.fullmatch(written)
        if match is None:
            hint = "write INSERT, UPDATE, UPDATE OF column, DELETE or TRUNCATE, with OR between them"
            raise InputError(f"trigger {trigger.name!r}: the event {written!r} is not known", place=place, hint=hint)
        columns = [quote_identifier(c.strip().strip('`"')) for c in match["columns"].split(",")] if match["columns"] else []
        events.append(f"UPDATE OF {', '.join(columns)}" if columns else written.upper())
    return " OR ".join(events), "TRUNCATE" not in events


def _block(trigger: Trigger) -> str:
    body = _translate_body(trigger.body).strip()
    code = code_only(body)
    complete = _BLOCK.fullmatch(code) is not None
    if complete and _RETURN.search(code):
        return body.rstrip(";").rstrip() + ";"
    if not code.rstrip().endswith(";"):
        body += ";" if code[-1:].strip() else "\n;"  # a comment at the end would swallow it
    returning = "" if _RETURN.search(code) else "\n" + _return(trigger.event)
    return f"BEGIN\n{body}{returning}\nEND;"


def _return(event: str) -> str:
    if "DELETE" not in event.upper():
        return "RETURN NEW;"
    return "IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;\nRETURN NEW;"


def _translate_body(body: str) -> str:
    body = backticks_to_quotes(body)
    body = _SIGNAL.sub(lambda match: f"RAISE EXCEPTION USING ERRCODE = {match[1]}, MESSAGE = {_message(match[2])}", body)
    return _SET_NEW.sub(lambda match: f"NEW.{match[1]} :=", body)


def _message(text: str) -> str:
    return "'" + text[1:-1].replace("'", "''") + "'" if text.startswith('"') else text
