"""Signatures of certificates: who has the file alone sees every change, and whose key it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from manor.control.catalog.certificates import Signer, known_fingerprints, verify
from manor.control.catalog.secrets import KeyRing, SecretBox
from manor.errors import Code, InputError, ManorError

KEYS = [Fernet.generate_key().decode() for _ in range(2)]
DOCUMENT: dict[str, Any] = {"tenant": "acme/t/1", "erased": [{"kind": "database"}], "name": "会社"}


def signed(*keys: str) -> dict[str, Any]:
    return Signer.of(SecretBox(KeyRing(keys))).sign(DOCUMENT)


def test_a_signed_document_names_the_key_that_the_ring_knows() -> None:
    assert {verify(signed(KEYS[0]))} == known_fingerprints(KeyRing([KEYS[0]]))
    assert verify(signed(KEYS[0])) in known_fingerprints(KeyRing(KEYS))
    assert verify(signed(KEYS[0])) not in known_fingerprints(KeyRing([KEYS[1]]))


def test_a_retired_key_is_known_still() -> None:
    ring = KeyRing(KEYS)
    retired = KeyRing([KEYS[1], ring._keys[0].retired().text])
    assert verify(signed(KEYS[0])) in known_fingerprints(retired)


def test_its_spelling_does_not_matter_but_every_value_does() -> None:
    document = signed(KEYS[0])
    verify(dict(reversed(document.items())))
    for change in ({"tenant": "acme/t/2"}, {"erased": []}, {"more": 1}):
        with pytest.raises(ManorError) as caught:
            verify({**document, **change})
        assert caught.value.code is Code.CORRUPT


@given(st.sampled_from(["public_key", "value", "fingerprint"]), st.integers(0, 30))
def test_every_change_of_the_signature_is_noticed(part: str, place: int) -> None:
    document = copy.deepcopy(signed(KEYS[0]))
    text = document["signature"][part]
    document["signature"][part] = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
    with pytest.raises(ManorError):
        verify(document)


@pytest.mark.parametrize("document", [{}, {"signature": {}}, {"signature": {"algorithm": "Ed25519"}}, {"signature": "x"}])
def test_what_is_no_certificate_is_bad_input(document: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        verify(document)


def test_no_key_is_shown() -> None:
    assert "PrivateKey" not in repr(Signer.of(SecretBox(KeyRing([KEYS[0]]))))
