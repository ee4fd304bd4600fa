"""The suite against ministack, in both layouts of tables: what it does wrong is named here, and must be wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

import pytest
import pytest_asyncio

from manor.data.documents.dynamodb import DynamoDriver, open_driver
from manor.testing.documents import DocumentSuite

WRONG = {
    "counts the levels of lists one too many": ["nest_to_32_levels", "nests_no_deeper"],
    "rounds sums to 28 digits": ["SET zero = big - :v", "SET dec = dec + :v0"],
    "appends beyond the end of a list in the order of the text, not of the positions": ["SET list[9] = :v, list[7] = :w"],
    "removes from a list one by one, so that later positions mean other elements": [
        "REMOVE list[0], list[2]",
        "REMOVE list[2], list[0], list[1]",
    ],
    "adds to what is no number": ["SET n = text + :v", "SET n = n + :v-values4", "SET n = none + :v"],
    "takes sums of more than 38 digits, rounded": ["SET big = big + :v", "SET dec = big + :v"],
    "appends what is no list, and to what is none": ["SET list = list_append(list, :v)-", "SET text = list_append(text, :v)"],
    "ignores a path into nothing, or fails over it": [
        "SET text.a = :v",
        "SET map[0] = :v",
        "SET list.a = :v",
        "REMOVE missing.a",
        "ADD missing.n :v",
    ],
    "takes two missing operands for equal": ["[missing = missing2 {}]", "[missing <> missing2 {}]"],
    "begins_with() of operands of different types": [
        'begins_with(bin, :v) {":v":{"S"',
        'begins_with(n, :v) {":v":{"S":"5"}}',
        "begins_with(n, :word)",
    ],
    "contains() compares binary as its base64": ['contains(bin, :v) {":v":{"B":"/xA'],
    "contains() looks into no list that is a value": ["contains(:v, text)"],
    "shows items in an index whose key is of another type": ["holds_no_item_whose_key_is_of_another_type"],
    "size() of numbers and NULL has a value": ["[size(n) >= :v", "[size(none) >= :v"],
}


@pytest_asyncio.fixture
async def driver(ministack_url: str, dynamodb_credentials: dict[str, str]) -> AsyncIterator[DynamoDriver]:
    made = open_driver(ministack_url, credentials=dynamodb_credentials)
    await made.open()
    yield made
    await made.close()


class TestTablesOfTenants(DocumentSuite):
    """A table for each tenant."""

    WRONG: ClassVar = {
        "takes keys of other names, or of fewer, than the table's": [
            f"declared_with_other_keys_is_not_used[{how}]" for how in ("True-fewer", "True-names", "False-fewer", "False-names")
        ]
    }


@pytest.mark.nightly
class TestSharedTables(DocumentSuite):
    """All tenants in one table for each declared one."""

    UNSTEADY: ClassVar = {
        "a shared table is there as soon as one tenant has made it": ["a_table_that_was_not_made_is_an_error"],
        "of the keys that are declared a shared table holds the sort key only": [
            "declared_with_other_keys_is_not_used",
            "declared_anew_with_other_keys_is_refused",
        ],
    }

    @pytest_asyncio.fixture
    async def driver(self, ministack_url: str, dynamodb_credentials: dict[str, str]) -> AsyncIterator[DynamoDriver]:
        made = open_driver(f"{ministack_url}&tables=shared", credentials=dynamodb_credentials)
        await made.open()
        yield made
        await made.close()
