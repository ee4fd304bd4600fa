"""A local DynamoDB: the service's JSON protocol over any of our drivers, for boto3, the AWS CLI and outside test suites.

    async with DynamoDBEndpoint("sqlite:///dev.db", tenant="acme") as endpoint:
        client = boto3.client("dynamodb", endpoint_url=endpoint.url, region_name="us-east-1")

``manor data serve`` does the same from the command line. Needs ``aiohttp`` (``pip install 'manor[endpoint]'``).
"""

from manor.testing.dynamodb_endpoint.server import DynamoDBEndpoint

__all__ = ["DynamoDBEndpoint"]
