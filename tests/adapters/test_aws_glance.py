"""What must not be asked often."""

from __future__ import annotations

import pytest

from greenroom.adapters.aws.glance import Glance
from greenroom.errors import Permanent, Temporary
from greenroom.testing.clock import FakeClock


class Asked:
    def __init__(self) -> None:
        self.times = 0
        self.trouble: Exception | None = None

    def __call__(self) -> int:
        self.times += 1
        if self.trouble is not None:
            raise self.trouble
        return self.times


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_it_is_asked_once_in_its_pace(clock: FakeClock) -> None:
    ask = Asked()
    glance = Glance(ask, 5.0, steady=clock.now)
    assert [glance.see(), glance.see()] == [1, 1]
    clock.sleep(4.9)
    assert glance.see() == 1
    clock.sleep(0.2)
    assert glance.see() == 2


def test_anew_means_asked_again(clock: FakeClock) -> None:
    glance = Glance(Asked(), 5.0, steady=clock.now)
    glance.see()
    glance.anew()
    assert [glance.see(), glance.see()] == [2, 2]


def test_what_was_asked_before_it_was_told_to_look_anew_counts_no_more(clock: FakeClock) -> None:
    def asked() -> int:
        glance.anew()  # while the answer is on its way, something is done
        return next(numbers)

    numbers = iter((1, 2))
    glance = Glance(asked, 5.0, steady=clock.now)
    assert [glance.see(), glance.see()] == [1, 2]


def test_who_throttles_is_left_alone_for_as_long_as_he_said(clock: FakeClock) -> None:
    ask = Asked()
    ask.trouble = Temporary("too many requests", retry_after=3.0)
    glance = Glance(ask, 5.0, steady=clock.now)
    for _ in range(3):
        with pytest.raises(Temporary, match="too many"):
            glance.see()
    assert ask.times == 1
    ask.trouble = None
    clock.sleep(3.1)
    assert glance.see() == 2


def test_of_an_error_nothing_is_kept(clock: FakeClock) -> None:
    ask = Asked()
    glance = Glance(ask, 5.0, steady=clock.now)
    glance.see()
    clock.sleep(6.0)
    ask.trouble = Permanent("not allowed")
    with pytest.raises(Permanent):
        glance.see()
    ask.trouble = None
    assert glance.see() == 3
