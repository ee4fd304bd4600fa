"""A small stand-in for the gateway of Azure Cosmos DB, on the loopback: what Manor's driver asks, and nothing else.

Whatever it does not know (other SQL, query plans, change feeds, stored procedures, throughput) it answers with 501, never with
a guess. ``docs/reference/conformance-cosmos.md`` lists the tests of azure-cosmos that it passes. No account was ever compared
with it.
"""

from manor.testing.cosmos_gateway.server import CosmosGateway

__all__ = ["CosmosGateway"]
