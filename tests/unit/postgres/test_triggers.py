"""Triggers of both dialects become plpgsql."""

from __future__ import annotations

import pytest

from manor.control.engines.postgres.triggers import compile_touch, compile_trigger
from manor.control.templates.model import Table, Trigger
from manor.errors import InputError


def _trigger(body: str, *, timing: str = "BEFORE", event: str = "UPDATE", condition: str | None = None) -> Trigger:
    return Trigger(schema="main", name="t", table="users", timing=timing, event=event, body=body, condition=condition)


def _function(trigger: Trigger) -> str:
    return compile_trigger(trigger, "t_trigger")[0]


def test_statements_are_wrapped() -> None:
    """Plain statements get a block and a RETURN, which MySQL does not know."""
    assert "BEGIN\nNEW.a := 1;\nRETURN NEW;\nEND;" in _function(_trigger("SET NEW.a = 1"))


def test_a_deleted_row_is_returned_as_old() -> None:
    """A BEFORE DELETE trigger that returned NEW (nothing) would forbid the deletion."""
    assert "RETURN OLD;" in _function(_trigger("SELECT 1;", event="INSERT OR DELETE"))


def test_a_complete_body_is_respected() -> None:
    """A block with its own RETURN stays letter by letter."""
    body = "DECLARE x int;\nBEGIN\n  RETURN NEW;\nEND"
    assert f"$manor$\n{body};\n$manor$" in _function(_trigger(body))


def test_a_block_without_return_gets_one() -> None:
    """MySQL's BEGIN … END becomes an inner block."""
    assert "BEGIN\nBEGIN\nPERFORM 1;\nEND;\nRETURN NEW;\nEND;" in _function(_trigger("BEGIN\nPERFORM 1;\nEND;"))


def test_the_word_return_in_a_string_is_no_return() -> None:
    """Keywords are looked for in code only."""
    assert "RETURN NEW;" in _function(_trigger("RAISE NOTICE 'no RETURN here'; -- RETURN"))


def test_mysql_signals_become_exceptions() -> None:
    """SIGNAL keeps its state and message."""
    function = _function(_trigger("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'it''s closed';"))
    assert "RAISE EXCEPTION USING ERRCODE = '45000', MESSAGE = 'it''s closed';" in function


def test_a_body_cannot_end_the_function() -> None:
    """A dollar quote in the body does not close ours."""
    assert _function(_trigger("PERFORM $manor$x$manor$;")).endswith("$manor_$")


@pytest.mark.parametrize(
    ("timing", "event", "condition", "expected"),
    [
        (
            "after",
            "INSERT",
            'NEW.status = "active"',
            "AFTER INSERT ON \"users\" FOR EACH ROW WHEN (NEW.status = 'active') EXEC",
        ),
        ("BEFORE", "insert or update", None, "BEFORE INSERT OR UPDATE ON"),
        ("BEFORE", "INSERT, UPDATE", None, "BEFORE INSERT OR UPDATE ON"),
        ("BEFORE", "UPDATE OF a, `b` OR DELETE", None, 'BEFORE UPDATE OF "a", "b" OR DELETE ON'),
        ("AFTER", "TRUNCATE", None, "FOR EACH STATEMENT"),
        ("instead  of", "DELETE", None, "INSTEAD OF DELETE ON"),
    ],
)
def test_timing_event_and_condition(timing: str, event: str, condition: str | None, expected: str) -> None:
    """The trigger says when it fires."""
    statement = compile_trigger(_trigger("RETURN NEW;", timing=timing, event=event, condition=condition), "f")[1]
    assert expected in statement


@pytest.mark.parametrize(("timing", "event"), [("SOMETIMES", "UPDATE"), ("BEFORE", "SELECT"), ("BEFORE", "")])
def test_unknown_timing_and_event(timing: str, event: str) -> None:
    """What no trigger can do is refused."""
    with pytest.raises(InputError, match="is not known"):
        compile_trigger(_trigger("RETURN NEW;", timing=timing, event=event), "f")


def test_touch_names_every_column() -> None:
    """One trigger per table sets all its ON UPDATE columns."""
    function, trigger = compile_touch(Table(schema="main", name="t", columns=()), ["a", 'b"c'])
    assert 'NEW."b""c" := CURRENT_TIMESTAMP' in function
    assert "BEFORE UPDATE" in trigger
