from __future__ import annotations

import gc

import pytest

from pipeline.collector import at_rest


@pytest.fixture(autouse=True)
def as_before():
    was_on = gc.isenabled()
    yield
    gc.unfreeze()
    gc.enable() if was_on else gc.disable()


def test_nothing_is_collected_meanwhile() -> None:
    gc.enable()
    with at_rest():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_what_was_made_is_never_looked_at_again() -> None:
    with at_rest():
        made = [[]]
    assert not any(one is made for one in gc.get_objects())


def test_an_error_turns_it_on_again() -> None:
    gc.enable()
    with pytest.raises(KeyError), at_rest():
        raise KeyError
    assert gc.isenabled()


def test_who_turned_it_off_keeps_it_off() -> None:
    gc.disable()
    with at_rest():
        pass
    assert not gc.isenabled()
