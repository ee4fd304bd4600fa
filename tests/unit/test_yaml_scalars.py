"""The faster resolver of YAML scalars means the same as PyYAML's own."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st

from manor.yaml_reader import _Loader, _SafeLoader

BEGINNINGS = st.sampled_from(
    ["", "y", "No", "true", "~", "null", "-1", "+.inf", "0x1F", "1_000", "1e5", "12:30", "=", "<<", "a", "é", "名"]
)


@given(BEGINNINGS, st.text(alphabet="abeEnorstuly0123456789.:_-+", max_size=6))
def test_every_plain_scalar_gets_the_tag_that_pyyaml_gives_it(beginning: str, rest: str) -> None:
    text = beginning + rest
    assert _tag(_Loader, text, (True, False)) == _tag(_SafeLoader, text, (True, False))


@given(st.text(max_size=10))
def test_quoted_text_is_text(text: str) -> None:
    assert _tag(_Loader, text, (False, True)) == "tag:yaml.org,2002:str" == _tag(_SafeLoader, text, (False, True))


def _tag(loader: type[yaml.SafeLoader], text: str, implicit: tuple[bool, bool]) -> str:
    reader = loader("")
    try:
        return str(reader.resolve(yaml.ScalarNode, text, implicit))  # type: ignore[no-untyped-call]
    finally:
        reader.dispose()
