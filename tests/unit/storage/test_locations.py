"""How locations are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from manor.errors import InputError
from manor.storage import open_store
from manor.storage.location import OPTIONS, Scheme, parse_location


@pytest.mark.parametrize(
    ("written", "folder"),
    [
        ("/var/backups", "/var/backups"),
        ("backups/manor", "/project/backups/manor"),
        (Path("backups"), "/project/backups"),
        ("file:///var/back%20ups", "/var/back ups"),
        ("file://localhost/var", "/var"),
    ],
)
def test_folders(written: str | Path, folder: str) -> None:
    """Absolute, relative to the base, or as a URL."""
    place = parse_location(written, Path("/project"))
    assert place.scheme is Scheme.FILE
    assert str(place.folder) == str(place) == folder


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("S3://bucket/a/b/", "s3://bucket/a/b"),
        ("s3://bucket/a?endpoint=http://127.0.0.1:9000&region=eu-central-1&allow_http=true", "s3://bucket/a"),
        ("gs://bucket/a", "gs://bucket/a"),
        ("az://container/a?account=mine", "az://container/a"),
        ("memory://", "memory://"),
    ],
)
def test_urls_are_shown_without_options(written: str, shown: str) -> None:
    """What is shown is what is stored in manifests."""
    assert str(parse_location(written)) == shown
    assert open_store(written).display() == shown


@pytest.mark.parametrize(
    "written",
    [
        "",
        "ftp://host/a",
        "s3://",
        "s3:///a",
        "s3://bucket/../other",
        "s3://bucket/a//b",
        "s3://bucket/a#b",
        "file://host/share",
        "file://",
        "file:///a?b=c",
        "s3://bucket/a?endpoint",
        "s3://bucket?nonsense=1",
        "az://container/a",
        "s3://[bucket/a",
        "s3://bucket/a?endpoint=http://127.0.0.1:9000",
    ],
)
def test_what_cannot_be_a_location_is_refused(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is opened, before anything is stored."""
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(InputError):
        open_store(written)


@pytest.mark.parametrize(
    "written",
    [
        "s3://key:hunter2@bucket/a",
        "s3://bucket/a?secret_access_key=hunter2",
        "s3://bucket/a?aws_secret_access_key=hunter2&region=x",
        "s3://bucket/a?endpoint=http://user:hunter2@host",
        "gs://bucket?service_account_key=hunter2",
        "az://container/a?account=mine&sas_key=hunter2",
    ],
)
def test_credentials_in_a_location_are_refused_and_not_repeated(written: str) -> None:
    """Locations are written into settings, manifests and logs."""
    with pytest.raises(InputError) as refused:
        open_store(written)
    assert "hunter2" not in f"{refused.value!r} {refused.value} {refused.value.hint} {refused.value.__cause__!r}"
    assert "credentials" in refused.value.hint


def test_every_option_is_documented() -> None:
    """In the page about storage."""
    page = (Path(__file__).parents[3] / "docs" / "reference" / "storage.md").read_text(encoding="utf-8")
    for scheme, options in OPTIONS.items():
        assert f"{scheme}://" in page
        for option in options:
            assert f"`{option}`" in page, option


@pytest.mark.parametrize("scheme", ["s3://bucket/p?endpoint=https://s3.example&server_side_encryption=AES256&skip_signature=true"
                                    "&virtual_hosted_style_request=true&sse_kms_key_id=k&allow_http=true&region=r",
                                    "gs://bucket/p?endpoint=https://gcs.example&skip_signature=true&allow_http=true",
                                    "az://container/p?account=a&endpoint=https://az.example&skip_signature=true&use_azure_cli=false"
                                    "&allow_http=true", "az://container/p?use_emulator=true"])  # fmt: skip
def test_the_library_knows_every_option(scheme: str) -> None:
    """Nothing is accepted here that is refused there."""
    open_store(scheme)
