"""Keys: where they come from, what they protect, how they are rotated, and that they are never shown."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.fernet import Fernet

from manor.control.catalog.secrets import KeyRing, SecretBox
from manor.errors import CatalogError, RefusedError


def new_key() -> str:
    return Fernet.generate_key().decode()


@pytest.fixture
def box() -> SecretBox:
    return SecretBox(KeyRing([new_key()]))


def test_the_key_comes_from_the_variable_then_from_the_named_file_then_from_the_project(tmp_path):
    first, second = new_key(), new_key()
    file = tmp_path / "keys.txt"
    file.write_text(f"# ours\n{second}\n")
    both = {"MANOR_KEY": first, "MANOR_KEY_FILE": str(file)}
    assert KeyRing.load(tmp_path, both).created().primary_id == KeyRing([first]).primary_id
    assert KeyRing.load(tmp_path, {"MANOR_KEY_FILE": str(file)}).primary_id == KeyRing([second]).primary_id
    assert not (tmp_path / ".manor").exists()
    made = KeyRing.load(tmp_path, {"MANOR_KEY": " "}).created()
    assert KeyRing.load(tmp_path, {}).created().primary_id == made.primary_id


def test_the_projects_key_file_is_for_its_owner_only(tmp_path):
    KeyRing.load(tmp_path, {}).created()
    path = tmp_path / ".manor" / "keys"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["keys"]
    path.chmod(0o644)
    with pytest.raises(CatalogError, match="others may read") as caught:
        KeyRing.load(tmp_path, {}).created()
    assert "chmod 600" in caught.value.hint


def test_a_key_is_created_where_there_is_none_and_only_there(tmp_path):
    box = SecretBox(KeyRing.load(tmp_path, {}))
    made = box.create_key()
    assert KeyRing.load(tmp_path, {}).primary_id == made == box.key_id
    assert box.decrypt("t", box.encrypt("t", "x")) == "x"
    assert box.audit_key(made)
    assert box.create_key() == made
    given = SecretBox(KeyRing([new_key()]))
    assert given.create_key() == given.key_id


def test_sixteen_creators_at_once_get_the_same_key(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        rings = list(pool.map(lambda _: KeyRing.load(tmp_path, {}).created(), range(16)))
    assert len({ring.primary_id for ring in rings}) == 1
    assert [file.name for file in (tmp_path / ".manor").iterdir()] == ["keys"]


def test_a_look_makes_no_key_and_says_so_when_one_is_needed(tmp_path):
    box = SecretBox(KeyRing.load(tmp_path, {}))
    assert list(tmp_path.iterdir()) == []
    for use in (
        lambda: box.encrypt("t", "x"),
        lambda: box.decrypt("t", "gAAAA"),
        lambda: box.check("abcdef01"),
        lambda: box.key_id,
    ):
        with pytest.raises(CatalogError, match="there is no key") as caught:
            use()
        assert "MANOR_KEY" in caught.value.hint


@pytest.mark.parametrize("text", ["geheim", "audit:geheim", "Z" * 44, "a" * 43 + "=,geheim"])
def test_a_malformed_key_is_refused_without_showing_it(text):
    with pytest.raises(CatalogError, match="32 bytes in urlsafe base64") as caught:
        KeyRing.load(None, {"MANOR_KEY": text})
    assert "geheim" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("content", "problem"), [(b"# nothing\n", "holds no key"), (b"\xff\xfe", "not a text file"), (None, "No such")]
)
def test_an_unusable_key_file_is_named(tmp_path, content, problem):
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CatalogError, match=problem) as caught:
        KeyRing.load(tmp_path, {"MANOR_KEY_FILE": str(path)})
    assert str(path) in str(caught.value)


def test_a_text_comes_back_to_its_owner_and_to_nobody_else(box):
    token = box.encrypt("acme/g/1", "postgresql://u:geheim@h/d")
    assert "geheim" not in token
    assert box.decrypt("acme/g/1", token) == "postgresql://u:geheim@h/d"
    with pytest.raises(CatalogError, match="the stored URL of acme/g/2 is the one of acme/g/1"):
        box.decrypt("acme/g/2", token)
    assert box.decrypt("x", box.encrypt("x", "")) == ""


def test_a_wrong_key_and_a_damaged_text_are_clear_errors(box):
    token = box.encrypt("acme/g/1", "x")
    other = SecretBox(KeyRing([new_key()]))
    for reader, text in ((other, token), (box, token[:-4]), (box, "株")):
        with pytest.raises(CatalogError, match="cannot be decrypted") as caught:
            reader.decrypt("acme/g/1", text)
        assert "MANOR_KEY" in caught.value.hint


def test_the_first_of_several_keys_encrypts_and_all_decrypt():
    old, new = new_key(), new_key()
    token = SecretBox(KeyRing([old])).encrypt("t", "x")
    box = SecretBox(KeyRing.load(None, {"MANOR_KEY": f"{new}, {old}"}))
    assert box.decrypt("t", token) == "x"
    assert not box.is_current(token)
    assert box.is_current(box.encrypt("t", "x"))
    box.check(KeyRing([old]).primary_id)


def test_rotation_keeps_the_old_key_until_it_is_retired_and_its_audit_key_for_good(tmp_path):
    ring = KeyRing.load(tmp_path, {}).created()
    token = SecretBox(ring).encrypt("t", "x")
    rotated = SecretBox(ring.rotate())
    assert rotated.key_id != ring.primary_id
    assert rotated.decrypt("t", token) == "x"
    retired = SecretBox(rotated.ring.retire())
    assert retired.key_id == rotated.key_id
    assert retired.audit_key(ring.primary_id) == SecretBox(ring).audit_key(ring.primary_id)
    with pytest.raises(CatalogError):
        retired.decrypt("t", token)
    with pytest.raises(CatalogError, match="not among those of"):
        retired.check(ring.primary_id)
    assert KeyRing.load(tmp_path, {}).created().audit_keys() == retired.ring.audit_keys()
    assert (tmp_path / ".manor" / "keys").stat().st_mode & 0o777 == 0o600


def test_two_rotations_at_once_lose_no_key(tmp_path):
    ring = KeyRing.load(tmp_path, {}).created()
    with ThreadPoolExecutor(8) as pool:
        rotated = list(pool.map(lambda _: ring.rotate().primary_id, range(8)))
    assert set(KeyRing.load(tmp_path, {}).created().audit_keys()) == {ring.primary_id, *rotated}


def test_keys_from_the_variable_are_not_ours_to_change():
    with pytest.raises(RefusedError) as caught:
        KeyRing([new_key()]).rotate()
    assert "before the old one in MANOR_KEY" in caught.value.hint


def test_a_retired_key_cannot_be_the_first(tmp_path):
    retired = KeyRing.load(tmp_path, {}).created().rotate().retire()._keys[1].text
    assert retired.startswith("audit:")
    with pytest.raises(CatalogError, match="first key in MANOR_KEY is retired"):
        KeyRing([retired])


def test_the_audit_key_is_not_the_encryption_key_and_nothing_shows_either(box):
    key = box.ring._keys[0]
    assert box.audit_key(box.key_id) not in (None, key.secret)
    shown = f"{box!r} {box.ring!r} {key!r} {box} {box.ring}"
    for secret in (key.text, key.secret.hex(), key.audit.hex(), repr(key.secret), repr(key.audit)):
        assert secret not in shown
    assert box.key_id in shown
