"""``python -m manor.testing.cosmos_gateway PORT``: the gateway until it is interrupted."""

from __future__ import annotations

import asyncio
import sys

from manor.testing.cosmos_gateway.server import CosmosGateway


async def serve(port: int) -> None:
    """Say where, and go on."""
    async with CosmosGateway(port=port) as gateway:
        print(gateway.url, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 8081))
