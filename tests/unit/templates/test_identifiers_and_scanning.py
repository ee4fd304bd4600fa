"""The scanner loses nothing and rescans nothing; nothing unsafe becomes an identifier."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.errors import InputError
from manor.scan import Syntax, Text, Variable, scan
from manor.tenancy import database_name_problem, identifier_problem

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
AWKWARD = st.text(alphabet=st.one_of(st.sampled_from("{}$'\"\\\n\r\t;:-#&*!%`A"), st.characters(codec="utf-8")))


def escaped(text: str, syntax: Syntax) -> str:
    if syntax is Syntax.BRACES:
        return text.replace("{", "{{").replace("}", "}}")
    return text.replace("$", "$$") if syntax is Syntax.DOLLAR else re.sub(r"(\$\{[A-Z_][A-Z0-9_]*\})", r"$\1", text)


@given(text=AWKWARD, syntax=st.sampled_from(Syntax))
def test_an_escaped_literal_comes_back_as_it_was(text, syntax) -> None:
    assert scan(escaped(text, syntax), syntax).constant == text


@given(literals=st.lists(AWKWARD, min_size=1), name=NAMES, value=AWKWARD)
def test_values_stand_verbatim_between_their_literals(literals, name, value) -> None:
    text = f"{{{name}}}".join(escaped(literal, Syntax.BRACES) for literal in literals)
    assert scan(text).fill({name: value}) == value.join(literals)


@given(value=AWKWARD, other=AWKWARD)
def test_an_inserted_value_is_never_scanned_again(value, other) -> None:
    values = {"A": "{B}{{B}}${B}{{ B }}" + value, "B": other}
    assert scan("{A}").fill(values) == values["A"]
    assert scan("${A}", Syntax.DOLLAR).fill(values) == values["A"]


@given(parts=st.lists(st.one_of(AWKWARD.filter(bool), NAMES.map(Variable))))
def test_what_is_written_out_is_read_back(parts) -> None:
    text = "".join(f"{{{p.name}}}" if isinstance(p, Variable) else escaped(p, Syntax.BRACES) for p in parts)
    again = scan(text)
    assert again.names == {p.name for p in parts if isinstance(p, Variable)}
    assert again.fill({name: f"<{name}>" for name in again.names}) == "".join(
        f"<{p.name}>" if isinstance(p, Variable) else p for p in parts
    )
    assert all(isinstance(part, Variable) or part for part in again.parts)
    assert isinstance(again, Text)


@given(text=AWKWARD)
def test_text_is_scanned_or_refused_but_never_breaks(text) -> None:
    for syntax in Syntax:
        try:
            scanned = scan(text, syntax)
        except InputError:
            assert syntax is Syntax.DOLLAR or set("{}") & set(text)
        else:
            assert scanned.fill(dict.fromkeys(scanned.names, "")) is not None


@pytest.mark.parametrize("text", ["{", "}", "{ A }", "{1}", "{A.b}", "{A!r}", "{A[0]}", "{A:>9}", "{}", "{{{", "a}b"])
def test_a_brace_that_is_neither_variable_nor_escape_is_refused(text) -> None:
    with pytest.raises(InputError):
        scan(text)


@given(name=st.text())
def test_whatever_passes_as_an_identifier_is_plain_and_fits(name) -> None:
    for engine, longest in (("postgres", 63), ("mysql", 64)):
        if identifier_problem(name, engine=engine) is None:
            assert 0 < len(name.encode()) <= longest
            assert set(name) <= set(string.ascii_letters + string.digits + "_-")
            assert name[0] not in "-0123456789"


@given(name=st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,62}", fullmatch=True))
def test_plain_names_pass_unless_they_belong_to_somebody(name) -> None:
    assert identifier_problem(name) is None
    servers = {"postgres", "template0", "template1", "sys", "mysql", "public", "none"}
    owned = name.lower().startswith(("pg_", "manor_")) or name.lower() in servers
    if not owned and "schema" not in name.lower():
        assert database_name_problem(name) is None


@given(name=st.text(alphabet="'\"`;\\\n\x00 .$%{}()é表", min_size=1))
def test_nothing_that_could_end_a_quoted_name_passes(name) -> None:
    assert identifier_problem(name) is not None
    assert identifier_problem("a" + name) is not None
