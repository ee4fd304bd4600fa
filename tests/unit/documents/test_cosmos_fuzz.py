"""The Cosmos DB driver over our gateway agrees with the meaning; strings are put in order as UTF-16 here, as .NET does it."""

from __future__ import annotations

from manor.data.documents.cosmos.connecting import Address
from manor.data.documents.cosmos.driver import CosmosDriver
from manor.testing.cosmos_gateway import CosmosGateway
from manor.testing.cosmos_gateway.sql_values import by_utf16
from manor.testing.documents.fuzzing import FuzzSuite


class TestCosmosFuzz(FuzzSuite):
    """The suite, all of a tenant in one logical partition."""

    gateway: CosmosGateway

    async def new_driver(self) -> CosmosDriver:
        type(self).gateway = CosmosGateway(text_order=by_utf16)
        await self.gateway.__aenter__()
        driver = CosmosDriver(Address(endpoint=self.gateway.url, database="d", container="fuzz"), {"key": "a2V5"})
        await driver.open()
        return driver

    @classmethod
    def teardown_class(cls) -> None:
        cls.runner.run(cls.driver.close())
        cls.runner.run(cls.gateway.__aexit__(None, None, None))
        cls.runner.close()
