"""URLs of DynamoDB, and what must not be shown."""

from __future__ import annotations

import pytest

from manor.data.documents.dynamodb import open_driver
from manor.errors import InputError

LOGIN = {"access_key_id": "AKIA", "secret_access_key": "the secret"}


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("dynamodb://eu-central-1/table", "region"),
        ("dynamodb://key:secret@eu-central-1", "region"),
        ("dynamodb://eu-central-1?endpont=x", "endpont"),
        ("dynamodb://eu-central-1?tables=all", "tables=all"),
        ("dynamodb://eu-central-1?prefix=x", "prefix"),
        ("dynamodb://eu-central-1?tables=shared&prefix=a-b", "prefix"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_a_hint(url: str, word: str) -> None:
    with pytest.raises(InputError, match=word) as refused:
        open_driver(url)
    assert refused.value.hint
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("credentials", [{"access_key_id": "x"}, {**LOGIN, "token": "x"}])
def test_credentials_are_complete_and_known(credentials: dict[str, str]) -> None:
    with pytest.raises(InputError, match="credentials"):
        open_driver("dynamodb://eu-central-1", credentials=credentials)


def test_credentials_are_never_shown() -> None:
    assert "the secret" not in repr(open_driver("dynamodb://eu-central-1", credentials=LOGIN).connection)


async def test_without_a_region_opening_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    driver = open_driver("dynamodb://", credentials=LOGIN)
    with pytest.raises(InputError, match="region"):
        await driver.open()
    await driver.close()


async def test_an_endpoint_that_is_no_url_is_refused() -> None:
    driver = open_driver("dynamodb://eu-central-1?endpoint=nowhere", credentials=LOGIN)
    with pytest.raises(InputError, match="endpoint"):
        await driver.open()
    await driver.close()
