"""PartiQL statements become ordinary requests."""

from __future__ import annotations

import pytest

from manor.testing.dynamodb_endpoint.definitions import Definition
from manor.testing.dynamodb_endpoint.faults import WireError
from manor.testing.dynamodb_endpoint.partiql import parse_statement
from manor.testing.dynamodb_endpoint.statements import select_request, write_request

THINGS = Definition(
    document={
        "TableName": "things",
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        "AttributeDefinitions": [
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "N"},
        ],
    }
)


def test_a_select_of_one_partition_is_a_query() -> None:
    """The rest of WHERE is its filter."""
    statement = parse_statement(
        "SELECT a, b[0].c FROM things WHERE pk = 'x' AND sk BETWEEN 1 AND 2 AND size(a) > 3 ORDER BY sk DESC"
    )
    assert select_request(THINGS, statement) == {
        "TableName": "things",
        "ScanIndexForward": False,
        "ProjectionExpression": "#p0, #p1[0].#p2",
        "KeyConditionExpression": "#p3 = :p0 AND #p4 BETWEEN :p1 AND :p2",
        "FilterExpression": "size(#p0) > :p3",
        "ExpressionAttributeNames": {"#p0": "a", "#p1": "b", "#p2": "c", "#p3": "pk", "#p4": "sk"},
        "ExpressionAttributeValues": {":p0": {"S": "x"}, ":p1": {"N": "1"}, ":p2": {"N": "2"}, ":p3": {"N": "3"}},
    }


@pytest.mark.parametrize("where", ["pk = 'x' OR sk = 1", "sk = 1", "pk = 'x' AND NOT sk = 1", "pk <> 'x'", "pk IN ['x', 'y']"])
def test_any_other_select_is_a_scan_with_all_of_where_as_its_filter(where: str) -> None:
    """A key may stand in a scan's filter."""
    asked = select_request(THINGS, parse_statement(f"SELECT * FROM things WHERE {where}"))
    assert "KeyConditionExpression" not in asked
    assert "FilterExpression" in asked


def test_or_binds_weaker_than_and() -> None:
    """Parentheses say otherwise."""

    def told(where: str) -> str:
        return select_request(THINGS, parse_statement(f"SELECT * FROM things WHERE {where}"))["FilterExpression"]

    assert told("a = 1 AND b = 2 OR c = 3 AND d = 4") == "((#p0 = :p0 AND #p1 = :p1) OR (#p2 = :p2 AND #p3 = :p3))"
    assert told("a = 1 AND (b = 2 OR c = 3)") == "#p0 = :p0 AND (#p1 = :p1 OR #p2 = :p2)"


def test_values_of_all_types_can_be_written() -> None:
    """Sets in double angle brackets; parameters in their order."""
    statement = parse_statement(
        "INSERT INTO things VALUE {'pk': ?, 'sk': -1.5, 'a': [true, null, 'it''s'], 's': <<'x', 'y'>>, 'm': {'n': ?}}",
        [{"S": "k"}, {"B": "AA=="}],
    )
    assert statement.item == {
        "pk": {"S": "k"},
        "sk": {"N": "-1.5"},
        "a": {"L": [{"BOOL": True}, {"NULL": True}, {"S": "it's"}]},
        "s": {"SS": ["x", "y"]},
        "m": {"M": {"n": {"B": "AA=="}}},
    }


def test_an_update_names_one_item_and_must_find_it() -> None:
    """What else WHERE says is its condition."""
    statement = parse_statement("UPDATE \"things\" SET a = a + 1 REMOVE b WHERE pk = 'x' AND sk = ? AND c = 2", [{"N": "7"}])
    assert write_request(THINGS, statement) == {
        "TableName": "things",
        "ReturnValues": "NONE",
        "Key": {"pk": {"S": "x"}, "sk": {"N": "7"}},
        "UpdateExpression": "SET #p0 = #p0 + :p0 REMOVE #p1",
        "ConditionExpression": "#p4 = :p3 AND attribute_exists(#key)",
        "ExpressionAttributeNames": {"#p0": "a", "#p1": "b", "#p4": "c", "#key": "pk"},
        "ExpressionAttributeValues": {":p0": {"N": "1"}, ":p3": {"N": "2"}},
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Unexpected"),
        ("SELECT * FROM", "Expected a name"),
        ("SELECT * FROM things WHERE", "Expected a name"),
        ("SELECT * FROM things WHERE a", "Expected a comparison"),
        ("SELECT * FROM things WHERE a = ?", "Number of parameters"),
        ("SELECT * FROM things extra", "Unexpected extra"),
        ("SELECT * FROM things WHERE a = 'x", "Unexpected character"),
        ("DROP TABLE things", "Unexpected DROP"),
        ("INSERT INTO things VALUE {'s': <<1, 'x'>>}", "A set holds values of one type"),
    ],
)
def test_statements_that_cannot_be_read_say_why(text: str, words: str) -> None:
    """A validation error, not a crash."""
    with pytest.raises(WireError, match=words):
        parse_statement(text)


def test_a_write_without_the_whole_key_is_refused() -> None:
    """A statement never writes more than one item."""
    with pytest.raises(WireError, match="mandatory equality on all key attributes"):
        write_request(THINGS, parse_statement("DELETE FROM things WHERE pk = 'x'"))
