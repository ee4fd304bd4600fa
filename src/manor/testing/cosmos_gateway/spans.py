"""Which documents a query is about: those of a partition key, of a range of hashed ones, or all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise

from azure.cosmos.partition_key import PartitionKey

from manor.testing.cosmos_gateway.answers import Answer
from manor.testing.cosmos_gateway.storage import NOTHING, WRONG_KEY, Container, Document, KeyTuple

NOBODY = json.dumps(NOTHING)


def ranges_of(splits: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Physical partitions: their ids, and the hashes from and up to which they reach."""
    ends = ["", *splits, "FF"]
    return {str(number): (low, high) for number, (low, high) in enumerate(pairwise(ends))}


def documents_of(
    container: Container, headers: Mapping[str, str], key: KeyTuple | None, splits: Sequence[str] = ()
) -> list[Document]:
    """In the order in which they were first stored."""
    documents = container.living()
    if key == (NOBODY,) and len(container.paths) > 1:
        raise Answer(400, WRONG_KEY, sub=1001)
    if key is not None:
        return [one for one in documents if container.key_of(one)[: len(key)] == key]
    spans = [(headers.get("x-ms-start-epk") or "", headers.get("x-ms-end-epk") or "FF")]
    if splits and (name := headers.get("x-ms-documentdb-partitionkeyrangeid")) is not None:
        spans.append(ranges_of(splits)[name])
    if spans == [("", "FF")]:
        return documents
    return [one for one in documents if all(low.upper() <= hashed(container, one) < high.upper() for low, high in spans)]


def hashed(container: Container, document: Document) -> str:
    """The effective partition key, as the SDK itself computes it: what a range of hashes is about is not documented."""
    key = container.properties["partitionKey"]
    definition = PartitionKey(path=key["paths"], kind=key["kind"], version=key.get("version", 2))
    return str(definition._get_effective_partition_key_string([json.loads(level) for level in container.key_of(document)]))
