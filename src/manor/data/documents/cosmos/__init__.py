"""Documents in Azure Cosmos DB (NoSQL API): all tables of a tenant in one container, the tenant as partition key.

``cosmos://account/database/container``; see ``docs/reference/documents.md``. Nothing here was ever run against a live account.
"""

from manor.data.documents.cosmos.opening import open_driver

__all__ = ["open_driver"]
