"""In which encoding a text file is. Certain or not at all: a wrong guess would rename customers.

A byte order mark says it, and what is UTF-8 throughout is UTF-8. Of all others only CP932 (Shift_JIS as spreadsheets in Japan
write it) is taken by itself, where its text reads like Japanese; everything else is named by whoever knows it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from manor.errors import InputError, Place

BLOCK_BYTES = 1 << 20
_SAMPLE_BYTES = 1 << 18
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ESCAPE = re.compile(rb"\x1b[$(]")
"""What switches the set of characters (ISO/IEC 2022, 14.3)."""
_PYTHON_NAMES = {"utf-8": "utf-8-sig", "shift_jis": "cp932"}
"""Python's Shift_JIS lacks the characters of NEC and IBM, which every program that says Shift_JIS writes."""
_CALLED_CP932 = frozenset({"windows-31j", "x-sjis"})
"""Names that Python does not know."""
_GUESSED = ["euc_jp", "cp1252", "cp1251", "gb18030", "big5", "cp949", "iso8859_15"]


def text_encoding(path: Path, shown: str, given: str = "") -> str:
    """Python's name of the encoding of a file: ``given``, or found out from the first part of it that is not ASCII.

    Raises ``InputError`` with a line, and a guess in the hint, where it is not certain.
    """
    if given:
        return known_encoding(given)
    with path.open("rb") as file:
        sample = file.read(_SAMPLE_BYTES)
    return _found(path, shown, sample)


def first_fault(path: Path, encoding: str) -> int | None:
    """The first line that is not of this encoding, counted from 1; None where all of it is."""
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = 1
    for block in _blocks(path):
        kept = decoder.getstate()[0]
        try:
            text = decoder.decode(block)
        except UnicodeDecodeError as error:
            return lines + (kept + block).count(b"\n", 0, error.start)
        lines += text.count("\n")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return lines
    return None


def known_encoding(name: str) -> str:
    """Python's name of it. Raises ``InputError`` for one that there is not."""
    try:
        found = codecs.lookup("cp932" if name.lower() in _CALLED_CP932 else name)
    except LookupError:
        raise InputError(f"there is no encoding {name!r}", hint="such as utf-8, cp932, utf-16, euc_jp, cp1252") from None
    if not getattr(found, "_is_text_encoding", True):
        raise InputError(f"{name!r} is no encoding of text", hint="such as utf-8, cp932, utf-16, euc_jp, cp1252")
    return _PYTHON_NAMES.get(found.name, found.name)


def _found(path: Path, shown: str, sample: bytes) -> str:
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return encoding
    if wide := _wide(sample):
        return wide
    _refuse_escapes(path, shown)
    foreign = next((block for block in _blocks(path) if not block.isascii()), b"")
    if _begins_as_utf8(foreign):
        return "utf-8"
    if first_fault(path, "cp932") is None and reads_like_japanese(_foreign_lines(path).decode("cp932", errors="ignore")):
        return "cp932"
    raise _uncertain(path, shown)


def _refuse_escapes(path: Path, shown: str) -> None:
    """ISO-2022-JP is ASCII to whoever does not know it: its characters stand behind ``ESC`` as letters and signs."""
    lines, end = 1, b""
    for block in _blocks(path):
        found = _ESCAPE.search(end + block)
        if found is not None:
            raise InputError(
                "the file has escape sequences in it, as ISO-2022-JP has and no table of tenants",
                place=Place(shown, lines + (end + block).count(b"\n", 0, found.start()), 1),
                hint="name it by encoding: iso2022_jp, or save the file as UTF-8",
            )
        end = block[-1:] if block.endswith(b"\x1b") else b""
        lines += block.count(b"\n")


def _begins_as_utf8(block: bytes) -> bool:
    """The block may end within a character."""
    try:
        codecs.utf_8_decode(block, "strict", False)
    except UnicodeDecodeError:
        return False
    return True


def _wide(sample: bytes) -> str:
    """UTF-16 without a mark: every other byte of what is ASCII is zero."""
    pairs = len(sample) // 2
    high_zeros, low_zeros = sample[0::2].count(0), sample[1::2].count(0)
    if pairs and low_zeros > pairs * 0.3 and not high_zeros:
        return "utf-16-le"
    return "utf-16-be" if pairs and high_zeros > pairs * 0.3 and not low_zeros else ""


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _foreign_lines(path: Path) -> bytes:
    """Lines that are not ASCII, so that a long stretch of ASCII says nothing about them."""
    found, size = [], 0
    with path.open("rb") as file:
        for line in file:
            if not line.isascii():
                found.append(line)
                size += len(line)
            if size > _SAMPLE_BYTES:
                break
    return b"".join(found)


def reads_like_japanese(text: str) -> bool:
    """Whether what CP932 makes of a file is what somebody wrote.

    Western letters in CP1252, and most of what EUC-JP, GBK, Big5 or CP949 write, become half-width katakana and rare kanji;
    CP1252's quotation marks become single kanji between letters.
    """
    foreign = [(number, char) for number, char in enumerate(text) if char > "\x7f"]
    plain = [number for number, char in foreign if _is_plain_japanese(char)]
    known = set(plain)
    in_words = [number for number in plain if number - 1 in known or number + 1 in known]
    return bool(foreign) and len(plain) >= 0.7 * len(foreign) and len(in_words) >= 0.5 * len(plain)


def _is_plain_japanese(char: str) -> bool:
    """Kana, signs, full-width letters, and kanji of JIS level 1."""
    if "\u3000" <= char <= "\u30ff" or "\uff01" <= char <= "\uff5e":
        return True
    return "\u4e00" <= char <= "\u9fff" and 0x88 <= char.encode("cp932", errors="replace")[0] <= 0x98


def _uncertain(path: Path, shown: str) -> InputError:
    guess = _guess(_foreign_lines(path))
    hint = f"it may be {guess}: " if guess else ""
    return InputError(
        "the file is not UTF-8, and its encoding is not certain",
        place=Place(shown, first_fault(path, "utf-8") or 0, 1),
        hint=f"{hint}name it by encoding:, such as encoding: {guess or 'cp932'}, or save the file as UTF-8",
    )


def _guess(content: bytes) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(content, cp_isolation=["cp932", *_GUESSED]).best()
    return best.encoding if best is not None else ""
