"""The conformance suite of documents: what every driver of ``manor.data.documents`` promises.

A driver's test module subclasses ``DocumentSuite`` and brings the fixture ``driver``: an open ``Driver``, of any scope; every
test makes a tenant of its own in it. ``LifeSuite``, of opening and closing, has the fixture ``unopened``: a driver that was
never opened. Needs pytest and pytest-asyncio (mode auto); ``FuzzSuite`` needs Hypothesis too.
"""

from manor.testing.documents.life import LifeSuite
from manor.testing.documents.suite import DocumentSuite

__all__ = ["DocumentSuite", "LifeSuite"]
