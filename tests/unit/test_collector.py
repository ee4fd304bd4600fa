"""What the pause of the garbage collector promises."""

from __future__ import annotations

import gc

import pytest

from manor.collector import paused_collector


def test_nothing_is_collected_inside_and_all_is_as_before_afterwards() -> None:
    with paused_collector():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_inner_pause_does_not_end_the_outer_one() -> None:
    with paused_collector():
        with paused_collector():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        with paused_collector():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_it_is_switched_on_again_after_an_error() -> None:
    with pytest.raises(ValueError, match="told"), paused_collector():
        raise ValueError("told")
    assert gc.isenabled()


def test_what_was_made_inside_is_still_collected_later() -> None:
    class Node:
        gone = 0

        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            Node.gone += 1

    with paused_collector():
        Node()
    gc.collect()
    assert Node.gone == 1


def test_a_process_that_froze_its_start_up_keeps_it_frozen() -> None:
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with paused_collector():
            pass
        assert gc.get_freeze_count() > frozen * 0.9  # a few of them may have died meanwhile
    finally:
        gc.unfreeze()
