"""Amazon DynamoDB. Expressions go through as they are; ``open_driver`` is what ``manor.data.opening`` calls."""

from manor.data.documents.dynamodb.driver import DynamoDriver
from manor.data.documents.dynamodb.opening import open_driver

__all__ = ["DynamoDriver", "open_driver"]
