"""The expression language as text: what is accepted, what is refused, where the error points, and how it is written back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings

from manor.data.documents.faults import ExpressionError, ValueRefused
from manor.data.documents.query.change import is_idempotent
from manor.data.documents.query.check import admit_values, check
from manor.data.documents.query.nodes import And, Compare, Contains, Exists, Not, Or, Path, Ref, Size
from manor.data.documents.query.parse import parse_condition, parse_projection, parse_update
from manor.data.documents.query.spell import spell
from manor.errors import Code
from manor.testing.documents import strategies
from manor.testing.documents.fuzzing import usable, usable_update
from manor.testing.documents.strategies import Text

WRONG_CONDITIONS = [
    ("", 0, "empty"),
    ("   ", 0, "empty"),
    ("a", 2, "comparison"),
    ("a =", 4, "found the end"),
    ("= :a", 1, "name of an attribute"),
    ("a == :a", 4, "'='"),
    ("a != :a", 3, "'!'"),
    ("a = 'x'", 5, '"\'"'),
    ("a = 5", 5, "'5'"),
    ("a = :a AND", 11, "the end"),
    ("a = :a b = :b", 8, "end of the"),
    ("(a = :a", 8, "')'"),
    ("a = :a)", 7, "')'"),
    ("((a = :a) AND b = :b", 21, "')'"),
    ("begins_wiht(a, :a)", 1, "begins_wiht"),
    ("begins_with(a)", 14, "2 arguments"),
    ("begins_with(a, :a, :b)", 18, "2 arguments"),
    ("contains(a, a)", 1, "itself"),
    ("a = a", 3, "itself"),
    ("attribute_exists(:a)", 18, "path"),
    ("attribute_type(a, b)", 19, "value"),
    ("size(a)", 8, "comparison"),
    ("size(:a) > :b", 6, "path"),
    ("a = size(b, c)", 11, "1 argument"),
    ("a = attribute_exists(b)", 5, "cannot be compared"),
    ("if_not_exists(a, :b) = :c", 1, "SET"),
    ("a BETWEEN :a OR :b", 14, "AND"),
    ("a IN :a", 6, "IN"),
    ("a IN ()", 7, "name of an attribute"),
    ("a IN (:a", 9, "IN"),
    ("and = :a", 1, "word of the language"),
    ("NOT", 4, "the end"),
    ("a.b. = :a", 6, "name of an attribute"),
    ("a[b] = :a", 3, "position"),
    ("a[-1] = :a", 3, "position"),
    ("a[0 = :a", 5, "']'"),
    ("#n = :a", 1, "expression_names"),
    ("# = :a", 1, "'#'"),
    ("a = :a AND b & :b", 14, "'&'"),
    ("a = :a; DROP", 7, "';'"),
    ("a IN (" + ", ".join(f":v{n}" for n in range(101)) + ")", 3, "100"),
    (" AND ".join(["a = :a"] * 200), 0, "300"),
    ("(" * 65 + "a = :a" + ")" * 65, 0, "64"),
    ("a" + ".b" * 32 + " = :a", 1, "32"),
    ("a = :a OR " * 500 + "a = :a", 0, "4096"),
]
WRONG_UPDATES = [
    ("a = :a", 1, "SET"),
    ("SET", 4, "name of an attribute"),
    ("SET a", 6, "'='"),
    ("SET a = ", 8, "name of an attribute"),
    ("SET a = :a, ", 12, "name of an attribute"),
    ("SET a = :a b = :b", 12, "SET, REMOVE"),
    ("SET a = :a SET b = :b", 12, "twice"),
    ("SET a = :a + :b + :c", 17, "one + or -"),
    ("SET a = (:a + :b) - :c", 19, "one + or -"),
    ("SET a = if_not_exists(a, :b + :c)", 29, "')'"),
    ("SET a = :a * :b", 12, "'*'"),
    ("SET a = if_not_exist(a, :b)", 9, "if_not_exist"),
    ("SET a = if_not_exists(:a, :b)", 23, "path"),
    ("SET a = if_not_exists(a)", 24, "2 arguments"),
    ("SET a = size(b)", 9, "conditions"),
    ("ADD a = :a", 7, "without '='"),
    ("ADD a", 6, "value"),
    ("ADD a b", 7, "value"),
    ("DELETE a", 9, "value"),
    ("REMOVE a, a", 1, "overlap"),
    ("SET a = :a REMOVE a.b", 1, "overlap"),
    ("SET a.b = :a, a = :b", 1, "overlap"),
    ("SET a.b = :a, a[0] = :b", 1, "contradict"),
    ("INCREMENT a :a", 1, "SET, REMOVE"),
    ("SETT a = :a", 1, "SET, REMOVE"),
]
WRONG_PROJECTIONS = [
    ("", 0, "empty"),
    ("a,", 3, "name of an attribute"),
    ("a b", 3, "end of the"),
    ("a, a.b", 1, "overlap"),
    ("size(a)", 5, "end of the"),
    (":a", 1, "name of an attribute"),
]


def refused(parse: Callable[[str], Any], text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as error:
        parse(text)
    assert error.value.code is Code.BAD_INPUT
    return error.value


@pytest.mark.parametrize(
    ("parse", "text", "position", "word"),
    [
        *((parse_condition, *case) for case in WRONG_CONDITIONS),
        *((parse_update, *case) for case in WRONG_UPDATES),
        *((parse_projection, *case) for case in WRONG_PROJECTIONS),
    ],
    ids=lambda value: str(value)[:40] if not callable(value) else "",
)
def test_a_wrong_expression_is_pointed_at(parse: Callable[[str], Any], text: str, position: int, word: str) -> None:
    """The error says what is wrong and at which character; where it has a place, a caret stands below it."""
    error = refused(parse, text)
    assert word in str(error)
    if position:
        assert error.position == position
        shown, caret = str(error).splitlines()[-2:]
        assert caret.index("^") <= len(shown)
        assert text.replace("\n", " ")[position - 1 : position] == shown[caret.index("^") :][:1]


@pytest.mark.parametrize(
    ("parse", "text", "hint"),
    [
        (parse_condition, "begins_wiht(a, :a)", "begins_with"),
        (parse_condition, "a = 5", ":name"),
        (parse_condition, "a = true AND b = :b", ""),
        (parse_condition, "a != :a", "<>"),
        (parse_condition, "a = :a && b = :b", "AND"),
        (parse_condition, "in = :a", "#in"),
        (parse_condition, "(a = :a OR b = :b", "character 1"),
        (parse_condition, "a = :a)", "too many"),
        (parse_update, "a = :a", "SET a"),
        (parse_update, "SET a = list_apend(a, :b)", "list_append"),
        (parse_update, "REMOV a", "REMOVE"),
        (parse_update, "SET a = :a + :b + :c", "before passing"),
    ],
)
def test_a_wrong_expression_comes_with_a_way_out(parse: Callable[[str], Any], text: str, hint: str) -> None:
    """The nearest word, or what to write instead."""
    if hint:
        assert hint in refused(parse, text).hint
    else:
        parse(text)


def test_the_tree_is_flat_and_its_names_are_final() -> None:
    """AND of ANDs is one AND, NOT of NOT is nothing, aliases are replaced, values stay references."""
    parsed = parse_condition("#a = :v AND (b.#a[2] > :w AND NOT NOT size(c) <> :x) AND attribute_not_exists(d)", {"#a": "x.y"})
    assert parsed.node == And(
        (
            Compare("=", Path(("x.y",)), Ref(":v")),
            Compare(">", Path(("b", "x.y", 2)), Ref(":w")),
            Compare("<>", Size(Path(("c",))), Ref(":x")),
            Not(Exists(Path(("d",)))),
        )
    )
    assert parsed.refs == {":v", ":w", ":x"}
    assert parsed.names == {"#a"}
    assert parsed.bare == {"b", "c", "d"}


def test_what_binds_how() -> None:
    """NOT before AND before OR; keywords in either case."""
    assert parse_condition("a = :v or NOT b = :v and c = :v").node == Or(
        (
            Compare("=", Path(("a",)), Ref(":v")),
            And((Not(Compare("=", Path(("b",)), Ref(":v"))), Compare("=", Path(("c",)), Ref(":v")))),
        )
    )
    assert parse_condition("contains (:v, a)").node == Contains(Ref(":v"), Path(("a",)))


@pytest.mark.parametrize(("text", "redundant"), [("(a = :v)", False), ("((a = :v))", True), ("((a = :v) OR b = :v)", False)])
def test_doubled_parentheses_are_noticed(text: str, redundant: bool) -> None:
    """DynamoDB refuses them; here they mean nothing, and who speaks DynamoDB's protocol can tell."""
    assert parse_condition(text).redundant is redundant


def test_an_expression_that_was_seen_is_the_same_object() -> None:
    """So that whatever was compiled from it is found again; other names make another one."""
    assert parse_condition("#a = :v", {"#a": "x"}) is parse_condition("#a = :v", {"#a": "x"})
    assert parse_condition("#a = :v", {"#a": "x"}) is not parse_condition("#a = :v", {"#a": "y"})
    calls: list[str] = []

    def compiler(expression: Any) -> str:
        calls.append(expression.text)
        return "compiled"

    for _ in range(3):
        assert parse_condition("b = :v").compiled(compiler) == "compiled"
    assert calls == ["b = :v"]


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault of the strategy's
@given(strategies.conditions())
def test_a_condition_that_is_written_back_means_the_same(condition: Text) -> None:
    """The tree of the written text is the tree it was written from, and no name is bare."""
    assume(usable(condition))
    parsed = parse_condition(condition.text, condition.names)
    spelling = spell(parsed)
    again = parse_condition(spelling.text, spelling.names)
    assert again.node == parsed.node
    assert again.bare == frozenset()
    assert not again.redundant


@given(strategies.updates())
def test_an_update_that_is_written_back_means_the_same(update: Text) -> None:
    """Clauses may change places, nothing else."""
    assume(usable_update(update))
    parsed = parse_update(update.text, update.names)
    spelling = parsed.compiled(spell)
    assert parse_update(spelling.text, spelling.names).node == parsed.node


def test_a_projection_is_written_back_with_aliases_of_its_own() -> None:
    """Expressions of one request never share an alias by accident."""
    projection = parse_projection("status, a.b[0].status, #x", {"#x": "a b"}).compiled(spell)
    assert projection.text == "#p0, #p1.#p2[0].#p0, #p3"
    assert projection.names == {"#p0": "status", "#p1": "a", "#p2": "b", "#p3": "a b"}
    condition = parse_condition("status = :v").compiled(spell)
    assert condition.names == {"#c0": "status"}


IN_100 = "b IN (" + ",".join([":b"] * 100) + ")"
LONG_CONDITIONS = {
    "lists without spaces": " OR ".join([IN_100] * 12),
    "names of one letter": " OR ".join(f"{'ab'[number % 2]}=:{'v' * 19}{number % 10}" for number in range(148)),
    "alternatives that need no parentheses": " OR ".join([f"a=:v AND b=:{'w' * 40} AND NOT c=:{'x' * 20}"] * 42),
    "many names": " AND ".join(f"a{number}=:value_{number:011}" for number in range(140)),
    "short aliases": " OR ".join(f"#{'abc'[number % 3]}=:{'v' * 18}" for number in range(148)),
    "functions": " OR ".join(f"contains(a,:{'v' * 12}) OR begins_with(b,:{'w' * 13})" for _ in range(66)),
}


@pytest.mark.parametrize("text", LONG_CONDITIONS.values(), ids=LONG_CONDITIONS.keys())
def test_what_is_short_enough_stays_so_when_it_is_written_back(text: str) -> None:
    """4096 bytes are DynamoDB's limit for what is sent; where the usual spelling is longer, a tighter one is sent."""
    assert 3300 < len(text) <= 4096
    parsed = parse_condition(text, {f"#{letter}": f"{letter} name" for letter in "abc"} if "#" in text else None)
    spelling = spell(parsed)
    assert len(spelling.text) <= 4096
    assert parse_condition(spelling.text, spelling.names).node == parsed.node


def test_tight_spellings_of_one_request_share_no_alias() -> None:
    """Nor does an alias stand for two names."""
    names = [f"name_{number}" for number in range(150)]
    condition = spell(parse_condition(" OR ".join(f"{name} = :{'v' * 11}" for name in names[:140])))
    update = spell(parse_update("SET " + ", ".join(f"{name}=:{'v' * 16}" for name in names[:145])))
    for spelling in (condition, update):
        assert len(set(spelling.names.values())) == len(spelling.names) >= 140
    assert not condition.names.keys() & update.names.keys()


# Values


def checked(text: str, values: dict[str, Any], names: dict[str, str] | None = None) -> None:
    check([parse_condition(text, names)], admit_values(values), names)


@pytest.mark.parametrize(
    ("text", "values", "word"),
    [
        ("a = :a", {}, ":a is not"),
        ("a = :a", {":b": 1}, ":a is not"),
        ("a = :a", {":a": 1, ":b": 1}, "no expression uses :b"),
        ("a = :a", {"a": 1}, "colon"),
        ("a < :a", {":a": True}, "cannot take BOOL"),
        ("a < :a", {":a": None}, "cannot take NULL"),
        (":a < a", {":a": [1]}, "cannot take L"),
        ("a BETWEEN :a AND :b", {":a": 1, ":b": "2"}, "different types"),
        ("a BETWEEN :a AND :b", {":a": 2, ":b": 1}, "below"),
        ("a BETWEEN :a AND :b", {":a": {1}, ":b": {2}}, "cannot take NS"),
        ("begins_with(a, :a)", {":a": 5}, "cannot take N"),
        ("attribute_type(a, :a)", {":a": "STRING"}, "one of"),
        ("attribute_type(a, :a)", {":a": 5}, "cannot take N"),
        ("NOT (b = :b OR a > :a)", {":a": {}, ":b": 1}, "cannot take M"),
    ],
)
def test_values_that_cannot_work_are_refused(text: str, values: dict[str, Any], word: str) -> None:
    """Before anything is sent: missing, unused, misspelt, of a type that the operator never takes."""
    with pytest.raises(ExpressionError) as error:
        checked(text, values)
    assert word in str(error.value)


@pytest.mark.parametrize(
    ("text", "values"),
    [("ADD a :v", {":v": "x"}), ("ADD a :v", {":v": [1]}), ("DELETE a :v", {":v": 1}), ("DELETE a :v", {":v": ["x"]})],
)
def test_add_and_delete_take_what_they_can_add_and_delete(text: str, values: dict[str, Any]) -> None:
    """Numbers and sets; sets."""
    with pytest.raises(ExpressionError, match="cannot take"):
        check([parse_update(text)], admit_values(values), None)


@pytest.mark.parametrize("name", ["", None, 5, "half \ud800"])
def test_an_alias_stands_for_a_name(name: Any) -> None:
    """One that an attribute can have."""
    with pytest.raises(ExpressionError, match="#a"):
        parse_update("SET #a = :v", {"#a": name})


def test_names_are_all_used() -> None:
    """One too many is a mistake somewhere."""
    with pytest.raises(ExpressionError, match="no expression uses #b"):
        checked("#a = :v", {":v": 1}, {"#a": "x", "#b": "y"})
    with pytest.raises(ValueRefused, match=r"expression_values\[':v'\]\.a\[1\]: an item cannot hold float"):
        admit_values({":v": {"a": [1, 1.5]}})


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("SET a = :v", True),
        ("SET a.b = :v REMOVE c, d.e", True),
        ("SET a = if_not_exists(a, :v)", True),
        ("DELETE s :v", True),
        ("SET a = a + :v", False),
        ("SET a = b", False),
        ("SET a = list_append(a, :v)", False),
        ("SET a[0] = :v", False),
        ("REMOVE a[0]", False),
        ("ADD n :v", False),
        ("SET a = if_not_exists(b, c)", False),
    ],
)
def test_what_can_be_done_twice_is_known(text: str, safe: bool) -> None:
    """After an answer that never came only such updates are sent again."""
    assert is_idempotent(parse_update(text).node) is safe
