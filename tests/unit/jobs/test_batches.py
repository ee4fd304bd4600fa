"""How a wave becomes batches, and a batch a job."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manor.control.jobs.engine import Batch, cut
from manor.errors import EngineError

TARGETS = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.text(min_size=1)), unique_by=lambda target: target[1])


@given(TARGETS, st.one_of(st.none(), st.integers(1, 10)))
def test_every_target_is_in_exactly_one_batch_of_its_server(targets: list[tuple[str, str]], size: int | None) -> None:
    """Nothing is lost or doubled; batches keep the order, and none is larger than allowed."""
    batches = cut("op", 1, 1, targets, size=size)
    for server in "abc":
        mine = [tenant for batch in batches if batch.server == server for tenant in batch.tenants]
        assert mine == [tenant for where, tenant in targets if where == server]
    assert all(batch.tenants and (size is None or len(batch.tenants) <= size) for batch in batches)
    assert [batch.number for batch in batches] == list(range(len(batches)))


def test_batches_of_one_server_are_of_even_sizes() -> None:
    """101 targets in batches of at most 100 are 50 and 51, not 100 and 1."""
    batches = cut("op", 1, 1, [("a", str(number)) for number in range(101)], size=100)
    assert [len(batch.tenants) for batch in batches] == [50, 51]


@given(TARGETS)
def test_a_job_says_all_about_its_batch(targets: list[tuple[str, str]]) -> None:
    """What is written into a job is read as the same batch."""
    for batch in cut("op", 7, 2, targets, size=2):
        assert Batch.from_json(batch.to_json()) == batch
        assert Batch.from_json(batch.to_json().encode()) == batch


def test_a_key_is_that_of_the_work() -> None:
    """The same batch has the same key; other tenants, another runner or another wave give another one."""
    batch = Batch(operation="op", token=1, wave=1, number=0, server="a", tenants=("x", "y"))
    others = [{"tenants": ("x",)}, {"token": 2}, {"wave": 2}, {"number": 1}, {"operation": "other"}]
    assert len({batch.key, *(dataclasses.replace(batch, **other).key for other in others)}) == 1 + len(others)
    assert dataclasses.replace(batch).key == batch.key


@pytest.mark.parametrize("text", ["", "null", "{}", "[1]", '{"operation": "x"}', '{"operation": 1, "token": "x"}', b"\xff"])
def test_a_job_that_is_not_ours_is_refused(text: str | bytes) -> None:
    """Never a traceback of the reader's."""
    with pytest.raises(EngineError, match="not one of ours"):
        Batch.from_json(text)
