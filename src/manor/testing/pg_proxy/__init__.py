"""A proxy in front of a PostgreSQL server that breaks the network at a chosen message of the protocol.

It assumes protocol 3 without encryption between client and server: an encrypted connection passes, but nothing in it is seen.
"""

from manor.testing.pg_proxy.faults import Action, Delay, Fault, Matches, Point, matching, normal_text, points
from manor.testing.pg_proxy.proxy import PgProxy
from manor.testing.pg_proxy.recorder import Injection
from manor.testing.pg_proxy.wire import Direction, Message

__all__ = [
    "Action",
    "Delay",
    "Direction",
    "Fault",
    "Injection",
    "Matches",
    "Message",
    "PgProxy",
    "Point",
    "matching",
    "normal_text",
    "points",
]
