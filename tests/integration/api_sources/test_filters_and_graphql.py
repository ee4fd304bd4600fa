"""What an API is asked to filter, and what GraphQL adds of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from manor.control.registry.provider import TenantRegistryProvider
from manor.errors import Code, InputError, InvalidInput, ManorError, UnreachableError
from manor.telemetry import Event
from manor.testing.tenant_api import Seen, TenantApi, as_json

EVERYBODY = [f"t{n:02}" for n in range(25)]


async def ids(provider: TenantRegistryProvider) -> list[str]:
    return [info.tenant_id async for info in provider.iter_tenants()]


# Filters


async def test_the_api_filters_what_it_can_and_the_rest_is_told(api: TenantApi, rest: Any, events: list[Event]) -> None:
    """Only conditions that all must fulfil; what is filtered here is an event with the conditions."""
    api.filters = frozenset({"plan"})
    for row in api.rows:
        row["plan"] = {"basic": "B", "premium": "P"}[row["tier"]]
    provider = rest(filters={"tier": "plan"}, filter_values={"tier": {"premium": "P"}})
    found = await provider.search_tenants("tier = 'premium' AND (tenant_id < 't05' OR tier = 'basic')")
    assert [info.tenant_id for info in found] == ["t01", "t03"]
    assert {seen.query["plan"] for seen in api.seen} == {"P"}
    (event,) = events
    assert (event.kind, event.subject) == ("source.filtered_here", "crm")
    assert len(event.details["conditions"]) == 1
    assert "OR" in event.details["conditions"][0]


async def test_a_filter_that_the_api_knows_is_not_told(api: TenantApi, rest: Any, events: list[Event]) -> None:
    """Nothing is filtered here but what came too much."""
    api.filters = frozenset({"tier"})
    assert await rest(filters={"tier": "tier"}).get_tenant_count({"tier": ["premium"]}) == 12
    assert events == []


async def test_an_api_that_overlooks_its_filter_changes_nothing(api: TenantApi, rest: Any) -> None:
    """What comes back is filtered here all the same."""
    provider = rest(filters={"tier": "tier"})
    assert await provider.get_tenant_count({"tier": "premium"}) == 12
    assert {seen.query["tier"] for seen in api.seen} == {"premium"}


async def test_filters_are_in_every_page(api: TenantApi, rest: Any) -> None:
    """Cursors and addresses keep them."""
    api.filters, api.tells, api.maximum = frozenset({"tier"}), frozenset({"next_cursor", "Link"}), 3
    for style in ("offset", "page", "cursor", "link"):
        found = await rest(filters={"tier": "tier"}, pagination={"style": style}).list_tenants({"tier": "premium"})
        assert [info.tenant_id for info in found] == EVERYBODY[1::2]
    assert all(seen.query["tier"] == "premium" for seen in api.seen)


# GraphQL


async def test_variables_size_cursor_and_filters_are_sent(api: TenantApi, graphql: Any) -> None:
    """In one mapping, with the query as it stands in the file."""
    api.filters = frozenset({"tier"})
    provider = graphql(variables={"region": "eu"}, filters={"tier": "tier"}, query="query Q { a }")
    assert await provider.get_tenant_count({"tier": "premium"}) == 12
    first, second, *_ = [json.loads(seen.body) for seen in api.seen]
    assert first == {"query": "query Q { a }", "variables": {"region": "eu", "tier": "premium", "first": 10}}
    assert second["variables"] == {**first["variables"], "after": "c10"}


async def test_errors_beside_data_are_errors(api: TenantApi, graphql: Any) -> None:
    """GraphQL answers 200 with part of the data; part of a list is no list."""

    def trouble(seen: Seen) -> Any:
        data = {"tenants": {"nodes": api.rows[:5], "pageInfo": {"hasNextPage": False}}}
        return as_json({"data": data, "errors": [{"message": "shard 2 is away", "path": ["tenants"]}]})

    api.trouble = trouble
    with pytest.raises(InputError, match="shard 2 is away"):
        await ids(graphql())
    assert len(api.seen) == 1


@pytest.mark.parametrize("code", ["THROTTLED", "INTERNAL_SERVER_ERROR"])
async def test_errors_that_pass_are_tried_again(api: TenantApi, graphql: Any, code: str) -> None:
    """By the code that the API gives them."""
    error = as_json({"data": None, "errors": [{"message": "later", "extensions": {"code": code}}]})
    api.trouble = lambda seen: error if seen.number in (1, 4) else None
    assert await ids(graphql()) == EVERYBODY
    api.trouble = lambda _: error
    with pytest.raises(UnreachableError, match=f"later.*{code}"):
        await ids(graphql())


async def test_a_token_that_graphql_does_not_accept_is_renewed(api: TenantApi, graphql: Any) -> None:
    """It says so with a status of 200."""
    client = {"token_url": f"{api.url}/token", "client_id": "service", "client_secret": "s3cret"}
    error = as_json({"errors": [{"message": "who?", "extensions": {"code": "UNAUTHENTICATED"}}]})
    api.trouble = lambda seen: error if seen.headers.get("authorization") == "Bearer token-1" else None
    assert await ids(graphql(auth={"oauth": client})) == EVERYBODY
    api.trouble = lambda seen: error if seen.path == "/graphql" else None
    with pytest.raises(ManorError, match="who") as raised:
        await ids(graphql(auth={"oauth": client}))
    assert raised.value.code is Code.DENIED


@pytest.mark.parametrize(
    ("connection", "said"),
    [
        (None, "without a Relay connection"),
        ({"nodes": []}, "without a Relay connection"),
        ({"nodes": [], "pageInfo": {"endCursor": "a"}}, "without a Relay connection"),
        ({"pageInfo": {"hasNextPage": False}}, "without a list of records"),
        ({"nodes": None, "pageInfo": {"hasNextPage": False}}, "without a list of records"),
        ({"nodes": [], "pageInfo": {"hasNextPage": True, "endCursor": None}}, "tells of more and does not say where"),
        ({"nodes": [], "pageInfo": {"hasNextPage": True, "endCursor": "a"}}, "leads back to a page that was read"),
        (
            {"nodes": [], "edges": [{"node": {"tenant_id": "a"}}], "pageInfo": {"hasNextPage": False}},
            "0 nodes beside 1 edges",
        ),
        ({"nodes": [], "edges": None, "pageInfo": {"hasNextPage": False}}, "without a list of records"),
        ({"edges": [None], "pageInfo": {"hasNextPage": False}}, "is not a record"),
        ({"edges": [{"node": None}], "pageInfo": {"hasNextPage": False}}, "is not a record"),
    ],
)
async def test_what_is_no_connection_is_no_empty_list(api: TenantApi, graphql: Any, connection: Any, said: str) -> None:
    """A name that is wrong, a query that forgot pageInfo, a cursor that stays, a node that is null."""
    api.trouble = lambda _: as_json({"data": {"tenants": connection}})
    with pytest.raises(ManorError, match=said) as raised:
        await ids(graphql())
    assert raised.value.hint


async def test_a_node_that_is_none_leads_to_the_setting_that_finds_nodes(api: TenantApi, graphql: Any) -> None:
    """GraphQL has no setting ``items``."""
    api.trouble = lambda _: as_json({"data": {"tenants": {"nodes": [None], "pageInfo": {"hasNextPage": False}}}})
    with pytest.raises(InvalidInput) as raised:
        await ids(graphql())
    assert [finding.hint for finding in raised.value.findings] == ["is the setting connection right?"]


async def test_a_total_that_differs_is_an_error(api: TenantApi, graphql: Any) -> None:
    """Between pages, or from what came."""

    def trouble(seen: Seen) -> None:
        if seen.number == 2:
            api.rows.pop()

    api.trouble = trouble
    with pytest.raises(ManorError, match="had 25 tenants, and at page 2 it has 24"):
        await ids(graphql(total="totalCount"))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("mutation { drop }", "a mutation"),
        ("query A { a }\nmutation B { b }", "a mutation"),
        ("# a query\n subscription { a }", "a subscription"),
        ("  # nothing\n", "empty"),
    ],
)
def test_a_query_that_would_write_is_refused(graphql: Any, query: str, said: str) -> None:
    """With its file; the word in a text, a comment or a name is no matter."""
    with pytest.raises(InputError, match=said) as raised:
        graphql(query=query)
    assert raised.value.place is not None
    assert raised.value.place.file == "list.graphql"
    graphql(query='query { a(b: "} mutation") { mutation } } # mutation')


def test_a_query_that_is_not_there_is_said(graphql: Any) -> None:
    """By its path."""
    with pytest.raises(InputError, match=r"nowhere\.graphql: cannot read"):
        graphql(query_file="nowhere.graphql")
