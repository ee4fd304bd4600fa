"""The conformance suite of documents: what every driver of ``manor.data.documents`` promises.

A driver's test module subclasses ``DocumentSuite`` and brings the fixture ``driver``: an open ``Driver``, of any scope; every
test makes a tenant of its own in it. Needs pytest and pytest-asyncio (mode auto); ``FuzzSuite`` needs Hypothesis too.
"""

from manor.testing.documents.suite import DocumentSuite

__all__ = ["DocumentSuite"]
