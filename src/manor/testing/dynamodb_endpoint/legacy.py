"""The parameters from before expressions (``Expected``, ``KeyConditions``, ``AttributeUpdates``, …) become expressions. Pure.

Source: Amazon DynamoDB Developer Guide, "Legacy conditional parameters".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from manor.testing.dynamodb_endpoint.expressions import NAMES, VALUES
from manor.testing.dynamodb_endpoint.faults import bad_parameter, invalid

Request = dict[str, Any]

_CONDITIONS = {
    "Expected": "ConditionExpression",
    "KeyConditions": "KeyConditionExpression",
    "QueryFilter": "FilterExpression",
    "ScanFilter": "FilterExpression",
}
_EXPRESSIONS = (
    "ConditionExpression", "FilterExpression", "KeyConditionExpression", "ProjectionExpression", "UpdateExpression",
)  # fmt: skip
_COMPARATORS = {"EQ": "=", "NE": "<>", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}
_COUNTS = {"NULL": 0, "NOT_NULL": 0, "BETWEEN": 2, "IN": -1}


def modern(request: Mapping[str, Any]) -> Request:
    """The request with expressions only. Raises ``WireError`` where both kinds are mixed."""
    old = [name for name in (*_CONDITIONS, "AttributesToGet", "AttributeUpdates") if request.get(name) is not None]
    if not old:
        return dict(request)
    new = [name for name in _EXPRESSIONS if request.get(name) is not None]
    if new:
        raise invalid(
            "Can not use both expression and non-expression parameters in the same request: "
            f"Non-expression parameters: {{{', '.join(old)}}} Expression parameters: {{{', '.join(new)}}}"
        )
    return _Translation(request).result()


class _Translation:
    """Collects names and values while expressions are written."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.request = dict(request)
        self.names: dict[str, str] = {}
        self.values: dict[str, Any] = {}

    def result(self) -> Request:
        """The request in its new form."""
        joint = f" {self.request.pop('ConditionalOperator', None) or 'AND'} "
        for old, new in _CONDITIONS.items():
            if conditions := self.request.pop(old, None):
                separator = " AND " if old == "KeyConditions" else joint
                self.request[new] = separator.join(self.condition(name, one) for name, one in conditions.items())
        if wanted := self.request.pop("AttributesToGet", None):
            self.request["ProjectionExpression"] = ", ".join(self.name(name) for name in wanted)
        if updates := self.request.pop("AttributeUpdates", None):
            self.request["UpdateExpression"] = self.update(updates)
        for parameter, given in ((NAMES, self.names), (VALUES, self.values)):
            if given:
                self.request[parameter] = given
        return {name: value for name, value in self.request.items() if value != ""}

    def name(self, name: str) -> str:
        """An alias for an attribute."""
        alias = f"#legacy{len(self.names)}"
        self.names[alias] = name
        return alias

    def value(self, tagged: Any) -> str:
        """A reference to a value."""
        ref = f":legacy{len(self.values)}"
        self.values[ref] = tagged
        return ref

    def condition(self, name: str, one: Mapping[str, Any]) -> str:
        """One attribute's condition, as ``Expected`` or the other parameters write it."""
        if "ComparisonOperator" not in one:
            return self.expected(name, one)
        operator = one["ComparisonOperator"]
        arguments = one.get("AttributeValueList") or ([one["Value"]] if "Value" in one else [])
        count = _COUNTS.get(operator, 1)
        if len(arguments) != count and not (count < 0 and arguments):
            raise bad_parameter(f"Invalid number of argument(s) for the {operator} ComparisonOperator", static=True)
        return self.written(operator, self.name(name), [self.value(tagged) for tagged in arguments])

    def written(self, operator: str, path: str, refs: list[str]) -> str:
        """A comparison in the language of expressions."""
        match operator:
            case "NULL":
                return f"attribute_not_exists({path})"
            case "NOT_NULL":
                return f"attribute_exists({path})"
            case "BETWEEN":
                return f"{path} BETWEEN {refs[0]} AND {refs[1]}"
            case "IN":
                return f"{path} IN ({', '.join(refs)})"
            case "BEGINS_WITH":
                return f"begins_with({path}, {refs[0]})"
            case "CONTAINS":
                return f"contains({path}, {refs[0]})"
            case "NOT_CONTAINS":
                return f"(attribute_exists({path}) AND NOT contains({path}, {refs[0]}))"
        if operator not in _COMPARATORS:
            raise invalid(f"Unsupported comparison operator: {operator}")
        return f"{path} {_COMPARATORS[operator]} {refs[0]}"

    def expected(self, name: str, one: Mapping[str, Any]) -> str:
        """``{"Exists": false}``, ``{"Value": …}``."""
        if one.get("Exists") is False:
            if "Value" in one:
                raise bad_parameter(f"Value cannot be used when Exists is false for Attribute: {name}", static=True)
            return f"attribute_not_exists({self.name(name)})"
        if "Value" not in one:
            raise bad_parameter(f"Value must be provided when Exists is true for Attribute: {name}", static=True)
        return f"{self.name(name)} = {self.value(one['Value'])}"

    def update(self, updates: Mapping[str, Mapping[str, Any]]) -> str:
        """``AttributeUpdates`` as clauses."""
        clauses: dict[str, list[str]] = {}
        for name, one in updates.items():
            action, path = one.get("Action", "PUT"), self.name(name)
            if action == "DELETE" and "Value" not in one:
                clauses.setdefault("REMOVE", []).append(path)
                continue
            if "Value" not in one:
                raise bad_parameter("Only DELETE action is allowed when no attribute value is specified", static=True)
            self.add_action(clauses, action, path, one["Value"])
        return " ".join(f"{clause} {', '.join(actions)}" for clause, actions in clauses.items())

    def add_action(self, clauses: dict[str, list[str]], action: str, path: str, tagged: Any) -> None:
        """One action with a value; ADD of a list appends, which expressions say with list_append."""
        ref = self.value(tagged)
        if action == "ADD" and "L" in tagged:
            empty = self.value({"L": []})
            clauses.setdefault("SET", []).append(f"{path} = list_append(if_not_exists({path}, {empty}), {ref})")
        elif action == "PUT":
            clauses.setdefault("SET", []).append(f"{path} = {ref}")
        elif action in {"ADD", "DELETE"}:
            clauses.setdefault(action, []).append(f"{path} {ref}")
        else:
            raise invalid(f"Unknown action: {action}")
