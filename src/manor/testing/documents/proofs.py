"""Which cases of the suite prove a capability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from manor.data.documents.capabilities import Capability
from manor.testing.documents.suite import DocumentSuite


def cases_of() -> Mapping[Capability, int]:
    """How many cases each capability has; parametrised ones count once."""
    cases = [getattr(DocumentSuite, name) for name in dir(DocumentSuite) if name.startswith("test")]
    return Counter(case.capability for case in cases if hasattr(case, "capability"))
