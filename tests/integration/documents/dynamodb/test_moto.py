"""The suite against moto, which is too slow for every day: what it does wrong is named here, and must be wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from manor.data.documents.dynamodb import DynamoDriver, open_driver
from manor.testing.documents import DocumentSuite

pytestmark = pytest.mark.nightly

WRONG = {
    "does a transaction that is sent again once more": ["sent_twice_is_done_once", "one_transaction_though_names_hold_dots"],
    "fails (500) where a comparison meets values of different types, or none": [
        "an_expired_item_is_not_shown",
        '[n < :v {":v":{"S"',
        "[NOT n < :v",
        '[text < :v {":v":{"N"',
        '[text > :v {":v":{"N"',
        "[yes > :v",
        "[list > :v",
        "[text < n {}]",
        '[text BETWEEN :a AND :b {":a":{"N"',
        "size(missing)",
        "size(n)",
        "size(none)",
        "size(yes)",
    ],
    "an index that is added holds nothing of what was there": ["gains_an_index_with_the_items"],
    "takes keys of another type than the table's": [
        "declared_with_other_keys_is_not_used[True-type]",
        "declared_with_other_keys_is_not_used[False-type]",
    ],
    "takes values of any depth": ["nests_no_deeper_than_an_item"],
    "fails (500) at an index with a key of another type": ["holds_no_item_whose_key_is_of_another_type"],
    "does not find the alias of a name with a dot in a projection": [
        "query_shows_what_it_is_asked_for",
        "read_shows_what_it_is_asked_for",
    ],
    "counts an item's bytes otherwise": ["at_most_400_kib"],
    "does not add decimals exactly": ["SET dec = dec + :v0"],
    "appends beyond the end of a list in the order of the text, not of the positions": ["SET list[9] = :v, list[7] = :w"],
    "takes sums of more than 38 digits": ["SET big = big + :v", "SET dec = big + :v"],
    "ignores a path into nothing, or fails over it": ["SET text.a = :v", "SET list.a = :v"],
    "fails (500) at an update of an item that is not there": ["makes_an_item_that_is_not_there"],
    "does not check the types of an index's keys in updates": ["key_of_an_index_keeps_its_type"],
    "true is 1, false is 0": ['[yes = :v {":v":{"N"', '[no = :v {":v":{"N"', '"v"}}},{"L":[{"N":"1"}]}]}}]'],
    "takes what is missing for NULL": ['[missing = :v {":v":{"NULL"', '[missing <> :v {":v":{"NULL"', "missing IN (:a)"],
    "takes two missing operands for equal": ["[missing = missing2 {}]", "[missing <> missing2 {}]"],
    "begins_with() and contains() compare binary as its base64": [
        'begins_with(bin, :v) {":v":{"B":"AP8',
        'contains(bin, :v) {":v":{"B":"/xA',
    ],
    "contains() compares elements of lists without their types": [
        'contains(list, :v) {":v":{"BOOL"',
        'contains(list, :v) {":v":{"L":[{"N"',
    ],
    "fails (500) at a condition of an item that is not there": [
        "one_without_attributes[attribute_not_exists(PK)-True]",
        "one_without_attributes[n <> :v-True]",
        "one_without_attributes[NOT n = :v-True]",
        "one_without_attributes[size(n) < :v-False]",
    ],
}
UNSTEADY = {
    "checks conditions and writes in two steps, so that two writers can pass": ["versions_are_passed_one_by_one"],
    "does a transaction once more that was sent again after a time-out": ["transfers_that_cross"],
}


@pytest_asyncio.fixture
async def driver(moto_url: str, dynamodb_credentials: dict[str, str]) -> AsyncIterator[DynamoDriver]:
    made = open_driver(moto_url, credentials=dynamodb_credentials)
    await made.open()
    yield made
    await made.close()


class TestTablesOfTenants(DocumentSuite):
    """A table for each tenant."""
