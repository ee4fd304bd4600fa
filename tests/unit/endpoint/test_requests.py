"""What a request of the DynamoDB protocol becomes, without any server: old parameters, typed values, expressions."""

from __future__ import annotations

from typing import Any

import pytest

from manor.testing.dynamodb_endpoint.definitions import check_creation
from manor.testing.dynamodb_endpoint.expressions import read_expressions, reserved_words
from manor.testing.dynamodb_endpoint.faults import WireError
from manor.testing.dynamodb_endpoint.legacy import modern
from manor.testing.dynamodb_endpoint.typed import item_of

A, B = {"S": "a"}, {"N": "2"}


@pytest.mark.parametrize(
    ("old", "parameter", "text"),
    [
        ({"Expected": {"x": {"Exists": False}}}, "ConditionExpression", "attribute_not_exists(#legacy0)"),
        ({"Expected": {"x": {"Value": A}}}, "ConditionExpression", "#legacy0 = :legacy0"),
        (
            {"QueryFilter": {"x": {"ComparisonOperator": "BETWEEN", "AttributeValueList": [A, B]}}},
            "FilterExpression",
            "#legacy0 BETWEEN :legacy0 AND :legacy1",
        ),
        (
            {"ScanFilter": {"x": {"ComparisonOperator": "NULL"}, "y": {"ComparisonOperator": "NOT_NULL"}}}
            | {"ConditionalOperator": "OR"},
            "FilterExpression",
            "attribute_not_exists(#legacy0) OR attribute_exists(#legacy1)",
        ),
        ({"AttributesToGet": ["x", "y.z"]}, "ProjectionExpression", "#legacy0, #legacy1"),
        (
            {"AttributeUpdates": {"x": {"Value": B, "Action": "ADD"}, "y": {"Action": "DELETE"}, "z": {"Value": A}}},
            "UpdateExpression",
            "ADD #legacy0 :legacy0 REMOVE #legacy1 SET #legacy2 = :legacy1",
        ),
    ],
)
def test_parameters_from_before_expressions_become_expressions(old: dict[str, Any], parameter: str, text: str) -> None:
    """With aliases for all names, so that a dot in a name is no path."""
    found = modern(old)
    assert found[parameter] == text
    assert not found.keys() & old.keys()


def test_old_parameters_beside_expressions_are_refused() -> None:
    """As the service does, in its words."""
    with pytest.raises(WireError, match="Can not use both expression and non-expression"):
        modern({"Expected": {"x": {"Exists": False}}, "ConditionExpression": "x = :x"})


@pytest.mark.parametrize(
    ("tagged", "words"),
    [
        ({}, "must contain exactly one of the supported datatypes"),
        ({"S": "a", "N": "1"}, "more than one datatypes"),
        ({"N": "1.0.0"}, "cannot be converted to a numeric value: 1.0.0"),
        ({"N": "NaN"}, "cannot be converted to a numeric value: NaN"),
        ({"N": "1" * 39}, "more than 38 significant digits"),
        ({"N": "1E126"}, "Number overflow"),
        ({"N": "1E-131"}, "Number underflow"),
        ({"N": "1e999999999999999999999"}, "Number overflow"),
        ({"N": "-1.5e-999999999999999999999"}, "Number underflow"),
        ({"NS": ["1", "2e+999999999999999999999"]}, "Number overflow"),
        ({"SS": []}, "An string set  may not be empty"),
        ({"NS": ["1", "1.0"]}, "contains duplicates"),
        ({"NULL": False}, "Null attribute value types must have the value of true"),
        ({"L": [{"M": {"x": {"SS": ["a", "a"]}}}]}, r"Input collection \[a, a\] contains duplicates"),
    ],
)
def test_values_that_cannot_be_are_refused_in_the_services_words(tagged: dict[str, Any], words: str) -> None:
    """However deep they stand."""
    with pytest.raises(WireError, match=words) as refusal:
        item_of({"x": tagged})
    assert refusal.value.kind == "ValidationException"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tt", "Member must have length greater than or equal to 3"),
        ("t" * 256, "Member must have length less than or equal to 255"),
        ("a/bc", "Member must satisfy regular expression pattern"),
    ],
)
def test_a_tables_name_is_refused_for_what_is_wrong_with_it(name: str, words: str) -> None:
    """Its length, or its characters."""
    with pytest.raises(WireError, match=words):
        check_creation({"TableName": name})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "The expression can not be empty;"),
        ("SET a = :v SET b = :v", 'The "SET" section can only be used once in an update expression;'),
        ("SET a.b = :v, a = :v", r"overlap with each other.*path one: \[a, b\], path two: \[a\]"),
        ("SET a.b = :v, a[1] = :v", r"conflict with each other.*path one: \[a, b\], path two: \[a, \[1\]\]"),
        ("SET size = :v", "reserved keyword; reserved keyword: size"),
        ("SET #n = :v", "name used in the document path is not defined; attribute name: #n"),
        ("SET a = :w", "value used in expression is not defined; attribute value: :w"),
        ("SET a = nothing(:v)", "Invalid function name; function: nothing"),
        ("SET a :v", 'Syntax error; token: ":v", near: "a :v"'),
        ("ADD a :v", "operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND"),
    ],
)
def test_expressions_that_cannot_be_are_refused_in_the_services_words(text: str, words: str) -> None:
    """With the parameter's name in front."""
    request = {"UpdateExpression": text, "ExpressionAttributeValues": {":v": A}}
    with pytest.raises(WireError, match=f"^Invalid UpdateExpression: .*{words}"):
        read_expressions(request, "UpdateExpression", "ConditionExpression")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"ExpressionAttributeValues": {":v": A}}, "UpdateExpression and ConditionExpression are null"),
        ({"ExpressionAttributeNames": {"#n": "n"}}, "can only be specified when using expressions"),
        ({"UpdateExpression": "REMOVE a", "ExpressionAttributeValues": {}}, "ExpressionAttributeValues must not be empty"),
        ({"UpdateExpression": "REMOVE a", "ExpressionAttributeNames": {"n": "n"}}, 'Syntax error; key: "n"'),
        ({"UpdateExpression": "REMOVE a", "ExpressionAttributeNames": {"#n": "n"}}, "unused in expressions: keys: {#n}"),
        ({"UpdateExpression": "REMOVE a", "ExpressionAttributeValues": {":v": A}}, "unused in expressions: keys: {:v}"),
    ],
)
def test_names_and_values_that_nothing_uses_are_refused(request_: dict[str, Any], words: str) -> None:
    """Each with its own words."""
    with pytest.raises(WireError, match=words):
        read_expressions(request_, "UpdateExpression", "ConditionExpression")


def test_all_573_reserved_words_are_known() -> None:
    """In capitals, whatever case they are used in."""
    assert len(reserved_words()) == 573
    assert {"STATUS", "NAME", "ZONE", "ABORT"} <= reserved_words()
