"""What a file leaves unsaid is found out where it is certain, and asked for where it is not; its errors come all at once."""

from __future__ import annotations

import csv
import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from manor.control.registry.sheets import CSVTenantProvider
from manor.control.registry.tenant_info import TenantInfo
from manor.errors import InputError, InvalidInput, NotFoundError
from manor.testing.sources import walked

Write = Callable[..., CSVTenantProvider]
"""The fixture ``sheet``."""
JAPANESE = "tenant_id,customer_code,customer_name\n001,acme,株式会社アクメ\n002,umi,有限会社うみの家①髙橋\n"


async def names(provider) -> list[str]:
    return [info.customer_name for info in await walked(provider)]


async def refusal(provider) -> InputError:
    with pytest.raises(InputError) as raised:
        await walked(provider)
    return raised.value


# Encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp932"])
async def test_japanese_is_read_in_each_encoding_that_programs_write(sheet: Write, encoding: str) -> None:
    """With a byte order mark and without."""
    assert await names(sheet(JAPANESE, encoding)) == ["株式会社アクメ", "有限会社うみの家①髙橋"]


@pytest.mark.parametrize("size", [1 << 18, (1 << 20) - 7, 3 << 20])
async def test_japanese_behind_much_ascii_is_found(sheet: Write, size: int) -> None:
    """A sample from the beginning would not see it."""
    rows = "".join(f"t{number:06},c,{'x' * 80}\n" for number in range(size // 90))
    text = f"tenant_id,customer_code,customer_name\n{rows}last,acme,東京商事\n"
    for encoding in ("cp932", "utf-8"):
        assert (await sheet(text, encoding).get_tenant("last")).customer_name == "東京商事"


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("cp1252", "Café Détroit"),
        ("cp1252", "McDonald\u2019s"),
        ("cp1252", "Müller & Söhne"),
        ("cp1252", "Ünal Ürünleri"),
        ("cp1251", "Газпром нефть"),
        ("euc_jp", "株式会社アクメ"),
        ("gb18030", "北京科技有限公司"),
        ("big5", "臺灣電子公司"),
        ("cp949", "삼성전자"),
        ("cp932", "ｱｸﾒ"),
    ],
)
async def test_an_encoding_that_is_not_certain_is_asked_for(sheet: Write, encoding: str, name: str) -> None:
    """Rather than a customer is called something else; with the line at which it begins."""
    text = f"tenant_id,customer_code,customer_name\n001,plain,Acme\n002,other,{name}\n"
    error = await refusal(sheet(text, encoding))
    assert "not certain" in error.message
    assert "encoding:" in error.hint
    assert str(error.place) == "tenants.csv:3:1"
    assert await names(sheet(text, encoding, encoding=encoding)) == ["Acme", name]


@pytest.mark.parametrize("given", ["shift_jis", "Shift-JIS", "sjis", "cp932", "ms932", "windows-31j"])
async def test_shift_jis_is_what_programs_call_so(sheet: Write, given: str) -> None:
    """With NEC's and IBM's characters."""
    assert (await names(sheet(JAPANESE, "cp932", encoding=given)))[1] == "有限会社うみの家①髙橋"


async def test_an_encoding_that_is_wrong_is_said_with_its_line(sheet: Write) -> None:
    """Of a file that says it, and of one that begins otherwise than it ends."""
    broken = JAPANESE.encode() + "003,c,名前\n".encode("cp932")
    assert str((await refusal(sheet(broken))).place) == "tenants.csv:4:1"
    given = await refusal(sheet(JAPANESE, "cp932", encoding="utf-8"))
    assert str(given.place) == "tenants.csv:2:1"
    assert "encoding:" in given.hint


@pytest.mark.parametrize("given", ["no-such", "base64", "rot13"])
async def test_what_is_no_encoding_is_refused(sheet: Write, given: str) -> None:
    """Also where Python has a codec of that name."""
    assert given in (await refusal(sheet(JAPANESE, encoding=given))).message


# Columns


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
async def test_the_delimiter_is_the_one_that_fits_the_header(sheet: Write, delimiter: str) -> None:
    """Whatever stands in names and in other columns."""
    text = 'tenant_id;customer_code;"notes, remarks | etc";customer_name\n1;a;x;"A, B; C|D"\n'
    text = text.replace('"A, B; C|D"', "\0").replace(";", delimiter).replace("\0", '"A, B; C|D"')
    assert await names(sheet(text)) == ["A, B; C|D"]


async def test_excels_own_word_for_the_delimiter_is_understood(sheet: Write) -> None:
    """Lines are still counted as an editor does."""
    assert await names(sheet("sep=;\r\ntenant_id;customer_code;customer_name\r\n1;a;Acme\r\n")) == ["Acme"]
    error = await refusal(sheet("sep=;\r\ntenant_id;customer_code;status\r\n1;a;gone\r\n"))
    assert str(error.place) == "tenants.csv:3:3"


async def test_columns_are_called_as_people_call_them(sheet: Write) -> None:
    """Capitals, blanks and full-width letters do not matter; other names are mapped."""
    text = " Tenant ID ,ＣＵＳＴＯＭＥＲ＿ＣＯＤＥ,会社名,作成日\n1,a,アクメ,2026/1/31 9:05\n"
    (info,) = await walked(sheet(text, columns={"customer_name": "会社名", "created_at": "作成日"}))
    assert info == TenantInfo(
        tenant_id="1",
        customer_code="a",
        customer_name="アクメ",
        created_at=dt.datetime(2026, 1, 31, 9, 5, tzinfo=dt.UTC),
    )


@pytest.mark.parametrize(
    ("header", "columns", "message", "hint"),
    [
        ("tenant_id,customer_name", {}, "no column 'customer_code'", "customer_name"),
        ("id,customer_code", {}, "no column 'tenant_id'", "columns:"),
        ("tenant_id,customer_code,teir", {}, "'teir' is no field", "'tier'"),
        ("tenant_id,customer_code,Tier,tier", {}, "names 'tier' twice", ""),
        (
            "tenant_id,customer_code,名",
            {"customer_name": "会社名"},
            "no column '会社名', which columns: says is customer_name",
            "",
        ),
    ],
)
async def test_a_header_that_cannot_be_meant_is_refused(
    sheet: Write, header: str, columns: dict[str, str], message: str, hint: str
) -> None:
    """A misspelt column would leave every tenant at the default."""
    error = await refusal(sheet(f"{header}\n", columns=columns))
    assert message in error.message
    assert hint in error.hint
    assert error.place is not None
    assert error.place.line == 1


async def test_columns_that_are_no_field_are_passed_over_and_named(sheet: Write) -> None:
    """Spreadsheets have more of them."""
    provider = sheet("memo,tenant_id,customer_code,営業担当\nx,1,a,y\n")
    assert len(await walked(provider)) == 1
    assert provider.passed_over == ("memo", "営業担当")


def test_a_mapping_of_what_is_no_field_is_refused(sheet: Write) -> None:
    """Before anything is read."""
    with pytest.raises(InputError, match="teir") as raised:
        sheet("", columns={"teir": "x"})
    assert "tier" in raised.value.hint


# Rows


async def test_all_that_is_wrong_is_said_in_one_pass(sheet: Write) -> None:
    """With line and column, in the order of the file, whatever comes before it."""
    text = (
        "tenant_id,customer_code,status,created_at,instances,billing_info\n"
        "1,a,active,2026-01-31,main,\n"
        '2,,active,2026-01-31,main,"{""plan"": ""gold""}"\n'
        "3,c,gone,31.01.2026,main;main,\n"
        "\n"
        '"4","d",active,,"main","{""plan"": ""go\nld""}"\n'
        "5,e,active,,main\n"
        "1,f,active,,te st,[1]\n"
        "1,g,,,,,\n"
        "6,h,,,,,more\n"
    )
    with pytest.raises(InvalidInput) as raised:
        await walked(sheet(text))
    found = [(str(finding.place).removeprefix("tenants.csv:"), finding.message) for finding in raised.value.findings]
    assert [place for place, _ in found] == ["3:2", "4:3", "4:4", "4:5", "6:6", "8:1", "9:5", "9:6", "10:1", "11:1"]
    for (_, message), word in zip(
        found,
        (
            "customer_code is empty",
            "status",
            "created_at",
            "twice",
            "JSON",
            "5 cells",
            "instances",
            "JSON",
            "'1' is there twice",
            "7 cells",
        ),
        strict=True,
    ):
        assert word in message


async def test_a_row_with_two_faults_that_types_find_says_both(sheet: Write) -> None:
    """Not one after the other."""
    error = await refusal(sheet("tenant_id,customer_code,status,region\n1,a,gone,nuänce\n"))
    assert isinstance(error, InvalidInput)
    assert [str(finding.place) for finding in error.findings] == ["tenants.csv:2:3", "tenants.csv:2:4"]


async def test_of_very_many_faults_the_number_is_said(sheet: Write) -> None:
    """Somebody gave the wrong file."""
    text = "tenant_id,customer_code,status\n" + "".join(f"{number},a,gone\n" for number in range(1_000))
    error = await refusal(sheet(text))
    assert isinstance(error, InvalidInput)
    assert len(error.findings) == 51
    assert "950 more" in error.findings[-1].message


async def test_a_cell_that_is_too_long_is_said_as_that(sheet: Write) -> None:
    """Also in a column that is passed over."""
    limit = csv.field_size_limit(131_072)
    try:
        error = await refusal(sheet(f"tenant_id,customer_code,notes\n1,a,b\n2,b,{'x' * 131_073}\n"))
    finally:
        csv.field_size_limit(limit)
    assert "a cell has more than 131,072 characters" in error.message
    assert str(error.place) == "tenants.csv:3:1"


@pytest.mark.parametrize("line", range(3))
async def test_iso_2022_jp_is_refused_unless_it_is_named(sheet: Write, line: int) -> None:
    """To whoever does not know it, it is ASCII."""
    lines = ["tenant_id,customer_code,customer_name", "1,a,b", "2,a,b"]
    lines[line] = lines[line].replace("customer_name", "顧客名").replace(",b", ",株式会社")
    text = "\n".join(lines)
    error = await refusal(sheet(text, "iso2022_jp"))
    assert "escape sequences" in error.message
    assert "iso2022_jp" in error.hint
    assert str(error.place) == f"tenants.csv:{line + 1}:1"
    columns = {"customer_name": "顧客名"} if line == 0 else {}
    assert len(await walked(sheet(text, "iso2022_jp", encoding="iso2022_jp", columns=columns))) == 2


@pytest.mark.parametrize("rest", ['"never closed\n2,b,x\n', 'a"b"c,"d"e\n'])
async def test_a_quotation_mark_out_of_place_is_said_with_its_line(sheet: Write, rest: str) -> None:
    """And not taken for text."""
    error = await refusal(sheet(f"tenant_id,customer_code,customer_name\n1,a,b\n3,{rest}"))
    assert "not CSV" in error.message
    assert str(error.place) == "tenants.csv:3:1"


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("instances", "main; test ;", ("main", "test")),
        ("instances", "", ("main",)),
        ("created_at", "2026-01-31", dt.datetime(2026, 1, 31, tzinfo=dt.UTC)),
        ("created_at", "2026/01/31", dt.datetime(2026, 1, 31, tzinfo=dt.UTC)),
        ("created_at", "2026-01-31 09:30+09:00", dt.datetime(2026, 1, 31, 0, 30, tzinfo=dt.UTC)),
        ("created_at", "2026-01-31T09:30:00Z", dt.datetime(2026, 1, 31, 9, 30, tzinfo=dt.UTC)),
        ("created_at", " 2026-01-31T09:30:00.25 ", dt.datetime(2026, 1, 31, 9, 30, 0, 250_000, tzinfo=dt.UTC)),
        ("billing_info", '{"a": [1, null, {"b": "ü"}]}', {"a": [1, None, {"b": "ü"}]}),
        ("billing_info", "{}", {}),
        ("customer_name", "  Acme  ", "Acme"),
        ("customer_name", "=1+1", "=1+1"),
        ("customer_name", "007", "007"),
        ("tier", "", "standard"),
        ("database_prefix", "", None),
    ],
)
async def test_cells_are_typed_by_their_field(sheet: Write, field: str, text: str, value: object) -> None:
    """An empty one leaves the default."""
    quoted = '"' + text.replace('"', '""') + '"'
    (info,) = await walked(sheet(f"tenant_id,customer_code,{field}\n1,a,{quoted}\n"))
    assert getattr(info, field) == value
    if isinstance(value, dt.datetime):
        assert getattr(info, field).tzinfo is not None


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("created_at", "01/31/2026"),
        ("created_at", "2026-02-30"),
        ("created_at", "46053"),
        ("created_at", "2026-01-31+09:00"),
        ("instances", "main,test"),
        ("instances", ";"),
        ("instances", "main;;test"),
        ("billing_info", "gold"),
        ("billing_info", "[]"),
        ("billing_info", '{"a": NaN}'),
        ("billing_info", '{"a": 1e400}'),
        ("billing_info", '{"a": [-1E+400]}'),
        ("billing_info", '{"a": "\\u0000"}'),
        ("billing_info", "{} {}"),
        ("customer_name", "a\0b"),
        ("customer_name", "x" * 1_001),
        ("tenant_id", "a b"),
        ("tenant_id", "a\nb"),
        ("table_prefix", "a\nb"),
        ("status", "Active"),
    ],
)
async def test_a_cell_that_does_not_fit_is_refused_with_its_field(sheet: Write, field: str, text: str) -> None:
    """Nothing is guessed."""
    cells = {"tenant_id": "1", "customer_code": "a", field: text}
    row = ",".join('"' + cell.replace('"', '""') + '"' for cell in cells.values())
    error = await refusal(sheet(f"{','.join(cells)}\n{row}\n"))
    assert field in error.message
    assert error.place is not None
    assert (error.place.line, error.place.column) == (2, list(cells).index(field) + 1)


# The file


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", b" , ,\n"])
async def test_a_file_without_a_header_is_no_table(sheet: Write, content: bytes) -> None:
    """It is not a source without tenants."""
    error = await refusal(sheet(content))
    assert "tenant_id" in error.hint + error.message


async def test_a_file_that_is_not_there_is_said_by_its_name(sheet: Write, tmp_path: Path) -> None:
    """As is what is no file."""
    provider = sheet("")
    (tmp_path / "tenants.csv").unlink()
    assert "tenants.csv" in str(await refusal(provider))
    os.mkfifo(tmp_path / "tenants.csv")
    assert "regular file" in str(await refusal(provider))
    with pytest.raises(InputError, match="regular file"):
        await provider.get_tenant_count()


async def test_settings_are_read_beside_the_table(sheet: Write, tmp_path: Path) -> None:
    """One file each; a broken one is said by its name, two are one too many."""
    folder = tmp_path / "configs"
    folder.mkdir()
    provider = sheet("tenant_id,customer_code\n1,a\n2,a\n3,a\n4,a\n5,a\n", config_dir=folder)
    (folder / "1.yaml").write_text("a: 0.1\nb: [x, 001]\n")
    (folder / "2.json").write_text('{"emoji": "\\ud83d\\ude00", "a":\t1}')
    (folder / "3.yaml").write_text("- a list\n")
    (folder / "4.json").write_text("{")
    (folder / "5.json").write_text("{}")
    (folder / "5.yml").write_text("")
    assert await provider.get_tenant_config("1") == {"a": 0.1, "b": ["x", "001"]}
    assert await provider.get_tenant_config("2") == {"emoji": "😀", "a": 1}
    for tenant_id, named in (("3", "3.yaml"), ("4", "4.json"), ("5", "5.yml")):
        with pytest.raises(InputError, match=named):
            await provider.get_tenant_config(tenant_id)
    with pytest.raises(NotFoundError):
        await provider.get_tenant_config("../1")
