"""The conformance suite of the port for releases (``manor.control.engines.releases.ReleaseDriver`` and ``Ballot``).

A driver's test file is a fixture and a subclass, as for ``manor.testing.engines``::

    @pytest.fixture(scope="module")
    def bench() -> ServerBench: ...

    class TestMyReleases(ReleaseDriverSuite):
        ...  # what is particular to this engine

The server must take prepared transactions. Each test names one promise and works in tenants of its own.
"""

from __future__ import annotations

from manor.testing.engine_samples import ServerBench
from manor.testing.release_applying import ApplyingPromises
from manor.testing.release_voting import VotingPromises

__all__ = ["ReleaseDriverSuite", "ServerBench"]


class ReleaseDriverSuite(ApplyingPromises, VotingPromises):
    """Every promise of the port, one test each."""
