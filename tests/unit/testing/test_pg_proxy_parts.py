"""The parts of the fault-injecting proxy that need no network: framing, addresses, points."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.errors import InputError
from manor.testing.pg_proxy import Direction, Message, matching, normal_text, points
from manor.testing.pg_proxy.address import Address
from manor.testing.pg_proxy.wire import Framer, Packet, Session


def headed(letter: str, body: bytes = b"") -> bytes:
    return letter.encode() + (len(body) + 4).to_bytes(4) + body


def first(code: int, body: bytes = b"") -> bytes:
    return (len(body) + 8).to_bytes(4) + code.to_bytes(4) + body


STARTUP = first(196608, b"user\0ann\0database\0acme\0application_name\0manor 7\0\0")
SSL_REQUEST = first(80877103)
CLIENT = [
    STARTUP,
    headed("p", b"secret\0"),
    headed("Q", b"COMMIT PREPARED 'a'\0"),
    headed("P", b"s1\0SELECT $1\0\0\0"),
    headed("B", b"\0s1\0\0\0\0\0\0\0"),
    headed("D", b"P\0"),
    headed("E", b"\0\0\0\0\0"),
    headed("C", b"Ss1\0"),
    headed("S"),
    headed("X"),
]
CLIENT_SEES = [
    ("startup", ""),
    ("p", ""),
    ("Q", "COMMIT PREPARED 'a'"),
    *[(letter, "SELECT $1") for letter in "PBDEC"],
    ("S", ""),
    ("X", ""),
]
SERVER = [
    headed("R", bytes(4)),
    headed("S", b"TimeZone\0UTC\0"),
    headed("C", b"COMMIT PREPARED\0"),
    headed("E", b"SERROR\0C42704\0Mno such thing\0\0"),
    headed("Z", b"I"),
]
SERVER_SEES = [("R", ""), ("S", ""), ("C", "COMMIT PREPARED"), ("E", "42704 no such thing"), ("Z", "I")]


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return (data[a:b] for a, b in itertools.pairwise(edges))


def read(session: Session, direction: Direction, data: bytes, cuts: list[int]) -> list[Packet]:
    framer = Framer.of(session, direction)
    return [packet for piece in pieces(data, cuts) for packet in framer.feed(piece)]


CUTS = st.lists(st.integers(min_value=0, max_value=10_000), max_size=20)


@given(cuts=CUTS)
def test_messages_are_read_alike_in_whatever_pieces_they_come(cuts: list[int]) -> None:
    """Both directions: one packet per message, its bytes unchanged, SQL known wherever a message refers to it."""
    session = Session()
    sent = read(session, Direction.TO_SERVER, b"".join(CLIENT), cuts)
    assert [packet.data for packet in sent] == CLIENT
    assert [(packet.type, packet.text) for packet in sent] == CLIENT_SEES
    assert (session.database, session.application) == ("acme", "manor 7")
    answered = read(session, Direction.TO_CLIENT, b"".join(SERVER), cuts)
    assert [packet.data for packet in answered] == SERVER
    assert [(packet.type, packet.text) for packet in answered] == SERVER_SEES


@given(data=st.binary(min_size=1), cuts=CUTS, direction=st.sampled_from(Direction))
def test_no_byte_is_lost_whatever_comes(data: bytes, cuts: list[int], direction: Direction) -> None:
    """Packets and the unfinished rest are together exactly what came."""
    framer = Framer.of(Session(), direction)
    packets = [packet.data for piece in pieces(data, cuts) for packet in framer.feed(piece)]
    assert b"".join(packets) + framer.rest == data


@pytest.mark.parametrize(("answer", "expected"), [(b"N", "startup"), (b"S", "encrypted")])
def test_after_the_answer_to_an_encryption_request_the_connection_is_plain_or_opaque(answer: bytes, expected: str) -> None:
    """A refusal is followed by a startup message, a consent by bytes that are nobody's business."""
    session = Session()
    client, server = Framer.of(session, Direction.TO_SERVER), Framer.of(session, Direction.TO_CLIENT)
    assert [packet.type for packet in client.feed(SSL_REQUEST)] == ["ssl_request"]
    assert [(packet.type, packet.text) for packet in server.feed(answer)] == [("encryption_answer", answer.decode())]
    assert [packet.type for packet in client.feed(STARTUP)] == [expected]


def test_an_error_may_answer_an_encryption_request() -> None:
    """A server that cannot even make a session says so with an ordinary error."""
    session = Session()
    assert list(Framer.of(session, Direction.TO_SERVER).feed(SSL_REQUEST))
    (packet,) = Framer.of(session, Direction.TO_CLIENT).feed(headed("E", b"C53300\0Mtoo many\0\0"))
    assert (packet.type, packet.text) == ("E", "53300 too many")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("postgresql://ann@/db?host=%2Ftmp%2FA-b", Address(host="/tmp/A-b")),
        ("postgresql://ann@%2Ftmp%2FA-b:5433/db", Address(host="/tmp/A-b", port=5433)),
        ("postgresql://ann:p%40w@db.example:6000/db?sslmode=require", Address(host="db.example", port=6000)),
        ("postgresql://[::1]:6000/db", Address(host="::1", port=6000)),
        ("postgres://db.example/db?hostaddr=10.0.0.1&port=7000", Address(host="10.0.0.1", port=7000)),
    ],
)
def test_the_server_is_found_in_every_form_of_url(url: str, address: Address) -> None:
    """Sockets, names, numbers, ports, in the authority or in the query."""
    assert Address.of(url) == address


@pytest.mark.parametrize("url", ["postgresql:///db", "postgresql://a,b/db"])
def test_a_url_without_exactly_one_server_is_refused(url: str) -> None:
    """The proxy does not guess what stands behind it."""
    with pytest.raises(InputError):
        Address.of(url)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (Address(host="/tmp/x"), "postgresql://ann:p%40w@/db?sslmode=require&host=%2Ftmp%2Fx&port=5432"),
        (Address(host="127.0.0.1", port=6000), "postgresql://ann:p%40w@127.0.0.1:6000/db?sslmode=require"),
    ],
)
def test_only_the_address_of_a_url_is_replaced(address: Address, expected: str) -> None:
    """Login, database and settings stay, as they were spelled."""
    assert address.put_into("postgresql://ann:p%40w@db.example:1/db?sslmode=require&hostaddr=10.0.0.1") == expected


def message(text: str, *, connection: int = 1, database: str = "acme", type: str = "Q") -> Message:
    return Message(
        connection=connection, database=database, application="", direction=Direction.TO_SERVER, type=type, text=text
    )


def test_points_of_two_runs_are_the_same_although_names_in_literals_differ() -> None:
    """A point is the n-th of its kind in its database: the run's id and the order between databases do not matter."""
    one = [message("BEGIN"), message("PREPARE TRANSACTION 'op1-x'"), message("BEGIN", database="b"), message("BEGIN")]
    other = [message("BEGIN", database="b"), message("BEGIN"), message("BEGIN"), message("PREPARE TRANSACTION 'it''s 2'")]
    assert set(points(one)) == set(points(other))
    assert [point.occurrence for point in points(one)] == [1, 1, 1, 2]
    assert str(points(one)[1]) == "acme to_server Q PREPARE TRANSACTION '?' #1"


def test_text_is_made_equal_by_its_literals_and_numbers_only() -> None:
    """Names and words stay."""
    assert normal_text("SELECT 'a''b', t1.c, 42") == "SELECT '?', t0.c, 0"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, True),
        ({"text": "commit"}, True),
        ({"type": "P"}, False),
        ({"database": "other"}, False),
        ({"application": "x"}, False),
    ],
)
def test_a_fault_is_for_messages_that_have_all_that_was_asked(wanted: dict[str, str], expected: bool) -> None:
    """What is not asked for does not matter; text is found in any case."""
    assert matching(**wanted)(message("COMMIT PREPARED 'x'")) is expected
