"""The search language: what it takes, what it means, and what it refuses and where."""

from __future__ import annotations

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Any

import pytest

from manor.control.registry.search.fields import CATALOG, Field, FieldTable, Kind, record_values
from manor.control.registry.search.nodes import Among, And, Compare, Comparison, Not, Or, Reference
from manor.control.registry.search.parse import parse_search
from manor.control.registry.search.predicate import like, truth
from manor.control.registry.search.sql import compile_sql
from manor.control.registry.search.tokens import MAX_CHARACTERS, MAX_DEPTH
from manor.errors import InputError, Place
from manor.tenancy import TenantId

TENANT = TenantId("acme", "standard", "007")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """The shape of the catalog's record, which this package must not import."""

    tenant: TenantId = TENANT
    database: str = "acme_007"
    server: str = "local"
    group: str = "standard"
    template: str = "saas"
    state: str = "ready"
    role: str = "acme_007_app"
    source: str = "prod/tenant_registry.yaml"
    name: str = "O'Neill & Söhne"
    is_active: bool = True
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    variables: dict[str, str] = dataclasses.field(default_factory=dict)
    created_at: dt.datetime | None = dt.datetime(2026, 11, 20, 9, 30, tzinfo=dt.UTC)
    updated_at: dt.datetime | None = None
    version: str = ""


def found(text: str, **values: Any) -> bool:
    return parse_search(text).matches(record_values(Row(**values)))


def meaning(text: str, **values: Any) -> bool | None:
    search = parse_search(text)
    return truth(search.root, search.fields, record_values(Row(**values)))


def refused(text: str, table: FieldTable = CATALOG) -> InputError:
    with pytest.raises(InputError) as caught:
        parse_search(text, table)
    assert caught.value.hint
    assert caught.value.place is not None
    return caught.value


CONFIG = {
    "billing_info": {"plan": {"name": "gold"}, "paid": True, "Two Words": "x"},
    "contract_info": {"seats": 25, "start": "2026-04-01", "options": ["a", {"b": 2.5}], "end": None},
}
VARIABLES = {"TIER": "premium", "MAX_USERS": "100", "BETA": "True", "customer_name": "acme"}


@pytest.mark.parametrize(
    "text",
    [
        "status='active' AND tier IN ('premium','enterprise')",
        "STATUS = 'active' and Tier like 'prem%'",
        "tenant_id = 'acme/standard/007' AND id = '007' AND customer_code = 'acme' AND group = 'standard'",
        "database = 'acme_007' AND server <> 'other' AND template != 'x' AND \"role\" >= 'acme'",
        "name = 'O''Neill & Söhne'",
        "name ILIKE 'o''n%' AND name NOT LIKE 'o%'",
        "state IN ('ready', NULL)",
        "is_active AND NOT is_active = false",
        "created_at >= '2026-01-01' AND created_at < DATE '2026-11-21' AND NOT created_at <= '2026-11-20'",
        "created_at = TIMESTAMP '2026-11-20 09:30' AND created_at = '2026-11-20T18:30:00.000+09:00'",
        "created_at BETWEEN '2026-11-20T09:30Z' AND TIMESTAMPTZ '2026-11-20 09:30-00:30'",
        "updated_at IS NULL AND created_at IS NOT NULL AND version IS NULL",
        "billing_info.plan.name = 'gold' AND config.billing_info['plan']->>'name' = 'gold'",
        "contract_info->>'seats' > 10 AND contract_info.seats BETWEEN -1 AND 2.5e1",
        "contract_info.start >= '2026-01-01'",
        "contract_info.options[0] = 'a' AND contract_info->'options'->1->>'b' = 2.50",
        "config.contract_info.options['-2'] = 'a'",
        "billing_info.paid = true AND billing_info['Two Words'] = 'x'",
        "contract_info.end IS NULL AND contract_info.nothing IS NULL AND contract_info IS NOT NULL",
        "max_users > 99 AND variables.MAX_USERS = '100' AND beta = true",
        "variables.TIER = 'premium' AND variables.tier IS NULL",
        "tier = 'x' OR is_active AND (tier = 'y' OR tier = 'premium')",
        "NOT NOT (((tier = 'premium')))",
        "tier IN (1, 'premium', true)",
    ],
)
def test_a_search_finds_what_it_says(text: str) -> None:
    """Every form of the reference page, each true for one tenant."""
    assert found(text, config=CONFIG, variables=VARIABLES)
    assert meaning(f"NOT ({text})", config=CONFIG, variables=VARIABLES) is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing = 'x'", None),
        ("NOT nothing = 'x'", None),
        ("nothing <> 'x' OR is_active", True),
        ("nothing <> 'x' AND NOT is_active", False),
        ("nothing = 'x' AND is_active", None),
        ("nothing IN ('x')", None),
        ("state NOT IN ('pending', NULL)", None),
        ("state IN ('ready', NULL)", True),
        ("state NOT IN ('ready', NULL)", False),
        ("state IN (NULL)", None),
        ("nothing NOT LIKE '%'", None),
        ("nothing NOT BETWEEN 1 AND 2", None),
        ("version <> '1'", None),
        ("contract_info.seats = '25'", None),
        ("contract_info.seats IN ('25', 25)", True),
        ("contract_info.seats NOT IN ('25', 26)", None),
        ("contract_info.seats = true", None),
        ("contract_info = 'x'", None),
        ("tier > 5", None),
        ("contract_info.seats[0] = 25", None),
        ("contract_info.options[7] IS NULL", True),
        ("contract_info.options.a IS NULL", True),
    ],
)
def test_missing_values_follow_three_valued_logic(text: str, expected: bool | None) -> None:
    """NULL comes from what is missing and from JSON of another type, and goes through NOT, IN, AND and OR as in SQL."""
    assert meaning(text, config=CONFIG, variables=VARIABLES) is expected


def test_bare_names_are_looked_up_in_variables_then_in_config() -> None:
    """In any case of ASCII letters; of several keys the first in byte order that has a value."""
    assert found("tier = 'v'", variables={"Tier": "v"}, config={"tier": "c"})
    assert found("tier = 'c'", variables={}, config={"tier": None, "TIER": "c"} | {"tiEr": "d"})
    assert found("TIER = 'b'", variables={"tier": "a", "TIER": "b"})
    assert not found("ÄMTER = 'x'", variables={"ämter": "x"})
    assert found("顧客ランク = '甲'", variables={"顧客ランク": "甲"})


def test_a_table_without_extras_refuses_bare_names_with_a_suggestion() -> None:
    """The caller decides whether names that are no fields mean anything."""
    table = FieldTable.of((Field(name="tier", kind=Kind.TEXT, sql="t.tier", read=str),))
    assert parse_search("tier = 'x'", table).matches({"tier": "x"})
    error = refused("is_ok = 1 AND tier = 'x'", table)
    assert (error.message, error.place) == ("there is no field is_ok", Place("--filter", 1, 1))
    assert refused("teir = 'x'", table).hint == "did you mean 'tier'?"


def test_bare_names_that_no_tenant_has_can_be_refused() -> None:
    """A slip in a name would else find nobody without a word."""
    search = parse_search("status = 'active' AND teir = 'x' AND variables.ANY = 'x'")
    assert [str(one) for one in search.bare_names] == ['"teir"']
    parse_search("tier = 'x'").require_known(["TIER"])
    with pytest.raises(InputError, match="neither a field nor") as caught:
        search.require_known(["TIER", "MAX_USERS"])
    assert (caught.value.place, caught.value.hint) == (Place("--filter", 1, 23), "did you mean 'tier'?")


def test_a_search_becomes_a_small_tree_of_our_own() -> None:
    """Nothing of sqlglot's is left in it; chains are flat; constants have their field's type."""
    tree = parse_search("tier = 'a' OR (NOT beta IN (-1) OR (is_active AND created_at > '2026-01-01' AND x.y = 1.5))").root
    assert tree == Or(
        operands=(
            Compare(reference=Reference(name="tier"), comparison=Comparison.EQUAL, constant="a"),
            Not(operand=Among(reference=Reference(name="beta"), constants=(Decimal(-1),))),
            And(
                operands=(
                    Compare(reference=Reference(name="is_active"), comparison=Comparison.EQUAL, constant=True),
                    Compare(
                        reference=Reference(name="created_at"),
                        comparison=Comparison.GREATER,
                        constant=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
                    ),
                    Compare(reference=Reference(name="x", path=("y",)), comparison=Comparison.EQUAL, constant=Decimal("1.5")),
                )
            ),
        )
    )


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "empty"),
        ("  \n", 1, "empty"),
        ("-- x", 1, "comments"),
        ("id='1' -- x", 8, "comments"),
        ("id=/* */'1'", 4, "comments"),
        ("id='1'; DROP TABLE x", 7, "semicolon"),
        ("id='1';", 7, "semicolon"),
        ("lower(id)='1'", 1, "functions"),
        ("id=pg_sleep(9)", 4, "functions"),
        ('id="pg_sleep"(9)', 4, "functions"),
        ("id = (SELECT 1)", 7, "SELECT is not part"),
        ("id IN (SELECT 1)", 8, "SELECT is not part"),
        ('id IN ("select" "x")', 17, "cannot be read"),
        ("EXISTS(SELECT 1)", 1, "EXISTS is not part"),
        ("id='1'::text", 7, "casts"),
        ("CAST(id AS text)='1'", 1, "CAST is not part"),
        ("id||'x'='1'", 3, "arithmetic"),
        ("x-1=2", 2, "arithmetic"),
        ("x=2-1", 4, "arithmetic"),
        ("id=$1", 4, "parameters"),
        ("id=:a", 4, "parameters"),
        ("id=?", 4, "parameters"),
        ("id=%(a)s", 4, "arithmetic"),
        ("id=$$1$$", 4, "parameters"),
        ("id=E'\\''", 4, "prefix"),
        ("id=U&'\\0027'", 4, "prefix"),
        ("id=N'1'", 4, "prefix"),
        ("id=X'1F'", 4, "prefix"),
        ("id='1", 4, "not closed"),
        ('"id=1', 1, "not closed"),
        ("id='1' /* x", 8, "not closed"),
        ("id='\0'", 5, "no text of a tenant"),
        ("id='\udc80'", 5, "no text of a tenant"),
        ("id='a' 'b'", 4, "constant belongs here"),
        ("id=name", 4, "a constant only"),
        ('id="name"', 4, "a constant only"),
        ("id=current_user", 4, "current_user is not part"),
        ("id", 1, "alone is not a condition"),
        ("tier", 1, "alone is not a condition"),
        ("true", 1, "condition belongs"),
        ("1=1", 1, "left side"),
        ("'a' IN ('a')", 1, "left side"),
        ("id='a'='b'", 1, "left side"),
        ("id=NULL", 1, "NULL"),
        ("id IN ()", 1, "at least one"),
        ("id IN 'a'", 1, "not part"),
        ("id IN (name)", 8, "a constant only"),
        ("IN", 1, "left side"),
        ("LIKE = 1", 6, "cannot be read"),
        ("id IS TRUE", 1, "NULL or NOT NULL"),
        ("id IS DISTINCT FROM 'a'", 7, "DISTINCT is not part"),
        ("id LIKE 'a\\'", 9, "single backslash"),
        ("id LIKE 'a' ESCAPE '!'", 13, "ESCAPE is not part"),
        ("id LIKE ANY ('a')", 9, "ANY is not part"),
        ("id SIMILAR TO 'a'", 4, "SIMILAR TO is not part"),
        ("id ~ 'a'", 4, "~ is not part"),
        ("id ~~ 'a'", 4, "~~ is not part"),
        ("id COLLATE \"C\" = 'a'", 4, "COLLATE is not part"),
        ("config @> 'x'", 8, "@> is not part"),
        ("config ? 'x'", 8, "parameters"),
        ("config #>> '{a}' = 'x'", 8, "#>> is not part"),
        ("id=5", 4, "text, which is not compared with a number"),
        ("id=true", 1, "text, which is not compared with true or false"),
        ("id=DATE '2026-01-01'", 9, "text, which is not compared with a date"),
        ("id LIKE 5", 9, "text, which is not compared with a number"),
        ("is_active='true'", 11, "true or false, which is not compared with text"),
        ("is_active>true", 1, "no order"),
        ("x>true", 1, "no order"),
        ("is_active LIKE 'x'", 1, "LIKE is for text"),
        ("created_at LIKE '2026%'", 1, "LIKE is for text"),
        ("created_at='abc'", 12, "no date"),
        ("created_at=20260101", 12, "not compared with a number"),
        ("created_at='20260101'", 12, "no date"),
        ("created_at='２０２６-01-01'", 12, "no date"),
        ("created_at='2026-02-30'", 12, "calendar"),
        ("created_at='2026-01-01 25:00'", 12, "calendar"),
        ("created_at='0001-01-01 00:00+09'", 12, "calendar"),
        ("created_at=DATE '2026-01-01 10:00'", 17, "DATE takes a day"),
        ("created_at=TIMESTAMP '2026-01-01 10:00+09'", 22, "without zone"),
        ("created_at=TIME '10:00'", 17, "cannot be read"),
        ("config.start>DATE '2026-01-01'", 19, "inside of JSON are text"),
        ("x=INTERVAL '1 day'", 3, "INTERVAL is not part"),
        ("version>'9'", 1, "not ordered"),
        ("version BETWEEN '1' AND '2'", 1, "not ordered"),
        ("x BETWEEN 1 AND 'a'", 17, "one type"),
        ("status.x='a'", 1, "has no parts"),
        ("config.1='a'", 8, "after a dot"),
        ("config.=1", 8, "after a dot"),
        ("config[a]=1", 8, "key in quotes"),
        ("config[1.5]=1", 8, "key in quotes"),
        ("config['a'=1", 11, "closing ]"),
        ("config['a'", 11, "closing ]"),
        ("config->", 9, "key in quotes"),
        ("config" + ".a" * 33 + "=1", 71, "more than 32 steps"),
        ('""=1', 1, "name is empty"),
        ("x=0x1F", 3, "no number"),
        ("x=1e999", 3, "no number"),
        ("x=1_000", 4, "cannot be read"),
        ("x=+1", 3, "arithmetic"),
        ("x=1 y=2", 5, "cannot be read"),
        ("x=1 AND", 5, "cannot be read"),
        ("(x=1", 4, "cannot be read"),
        ("x=1)", 4, "cannot be read"),
        ("x=1, y=2", 4, "cannot be read"),
        ("x=1 AS y", 5, "cannot be read"),
        ("x=1 LIMIT 1", 5, "cannot be read"),
        ("x=1 UNION SELECT 1", 5, "UNION is not part"),
        ("`x`=1", 1, "not part"),
        ("{x}=1", 1, "not part"),
        ("*", 1, "arithmetic"),
    ],
)
def test_everything_else_is_refused_where_it_stands(text: str, column: int, message: str) -> None:
    """With the column and a hint, and without a server."""
    error = refused(text)
    assert message in error.message
    assert error.place == Place("--filter", 1, column)


def test_the_place_counts_lines_and_names_the_option() -> None:
    """A search may have several lines, inside of texts too."""
    with pytest.raises(InputError) as caught:
        parse_search("id = 'a\nb'\n  AND created_at = 'x'", where="--query")
    assert caught.value.place == Place("--query", 3, 20)


@pytest.mark.parametrize("text", ["(" * 17 + "x=1" + ")" * 17, "NOT " * 17 + "x=1", "NOT (" * 9 + "x=1" + ")" * 9, "(" * 9_000])
def test_depth_has_a_limit(text: str) -> None:
    """An error, whatever the interpreter's limit is."""
    assert f"more than {MAX_DEPTH} deep" in refused(text).message


def test_length_has_a_limit_and_whatever_is_within_it_works() -> None:
    """The longest chains and lists that fit are read, compiled and answered."""
    assert "characters" in refused("x" * (MAX_CHARACTERS + 1)).message
    assert refused("x." * 9_999).message
    long = " OR ".join(["x=1"] * 2_500) + " OR x IN (" + ",".join(["1"] * 1_000) + ")"
    assert len(long) <= MAX_CHARACTERS
    search = parse_search(long)
    assert search.matches(record_values(Row(variables={"X": "1"})))
    assert len(compile_sql(search)[1]) == 3 * 2_501
    deepest = "(" * MAX_DEPTH + "x=1" + ")" * MAX_DEPTH
    assert str(parse_search(deepest)) == '"x" = 1'


@pytest.mark.parametrize(
    "value",
    ["'; DROP TABLE manor.tenants; --", "x' OR '1'='1", "\\' OR 1=1 --", "%(p1)s", "$1", "{0}", "\u0027\u02bc\uff07", "/* */"],
)
def test_nothing_that_was_written_gets_into_the_statement(value: str) -> None:
    """Texts, patterns, names and steps are parameters, whatever is in them."""
    text, name = value.replace("'", "''"), value.replace('"', '""')
    searches = [
        (f"id = '{text}'", value),
        (f"id IN ('{text}')", [value]),
        (f"id LIKE '{text}'", value),
        (f"config['{text}'] = 1", [value]),
        (f'"{name}" = 1', value.lower()),
    ]
    for written, expected in searches:
        statement, parameters = compile_sql(parse_search(written))
        assert expected in parameters.values()
        assert statement == compile_sql(parse_search(written.replace(text, "plain").replace(name, "plain")))[0]


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("", "", True),
        ("", "%", True),
        ("", "_", False),
        ("abc", "a%c", True),
        ("abc", "a_c", True),
        ("ac", "a_c", False),
        ("a%c", "a\\%c", True),
        ("abc", "a\\%c", False),
        ("a\\c", "a\\\\c", True),
        ("a\nb", "a%b", True),
        ("a.b", "a_b", True),
        ("axb", "a.b", False),
        ("abcbc", "a%bc", True),
        ("ab", "%a%b%", True),
        ("aab", "%ab", True),
        ("aXbXc", "a%X%X%X%", False),
        ("x", "%\\x%", True),
        ("abc\n", "abc", False),
        ("😀", "_", True),
    ],
)
def test_like_is_sqls(text: str, pattern: str, expected: bool) -> None:
    """Wildcards, the backslash, newlines and characters beyond the first plane."""
    assert like(text, pattern, any_case=False) is expected


def test_like_takes_no_time_whatever_the_pattern() -> None:
    """A pattern that would send a backtracking matcher away for years."""
    assert not like("a" * 5_000, "%a" * 60 + "%b", any_case=False)


def test_ilike_knows_the_case_of_ascii_letters_only() -> None:
    """As PostgreSQL does in a database with LOCALE 'C'."""
    assert like("ACME", "ac%", any_case=True)
    assert not like("ÄMTER", "ä%", any_case=True)
