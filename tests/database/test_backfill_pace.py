"""How big the next batch is, when to wait, and what is said of the time left."""

from __future__ import annotations

from greenroom.adapters.database.backfill.pace import Meter, Pace, backing_off, left, told
from greenroom.adapters.database.backfill.running import of_rows
from greenroom.adapters.database.backfill.throttle import Beats
from greenroom.adapters.database.ledger import Filling
from greenroom.domain.schema import Stand


def settled(pace: Pace, seconds_a_row: float, batches: int = 60) -> Pace:
    for _ in range(batches):
        pace = pace.after(pace.batch, pace.batch * seconds_a_row)
    return pace


def test_batches_grow_and_shrink_to_the_target() -> None:
    pace = Pace(0.05, 100_000)
    assert pace.batch == 1_000
    assert 4_000 <= settled(pace, 0.05 / 5_000).batch <= 6_000
    assert 40 <= settled(pace, 0.05 / 50).batch <= 60
    assert settled(pace, 1.0).batch == 1
    assert settled(settled(pace, 1.0), 1e-6).batch > 30_000


def test_no_batch_is_bigger_than_the_most() -> None:
    assert settled(Pace(0.05, 2_000), 1e-9).batch == 2_000
    assert Pace(0.05, 10).batch == 10


def test_a_batch_that_was_not_full_makes_none_bigger() -> None:
    assert Pace(0.05, 9_000).after(10, 0.001).batch == 1_000
    assert Pace(0.05, 9_000).after(10, 0.2).batch == 500


def test_one_slow_batch_halves_the_next_at_most() -> None:
    assert Pace(0.05, 9_000).after(1_000, 30.0).batch == 500


def test_rows_that_others_hold_make_it_smaller() -> None:
    assert Pace(0.05, 9_000).blocked().batch == 500
    assert Pace(0.05, 9_000, batch=1).blocked().batch == 1


def test_pauses_are_the_rest_of_the_time() -> None:
    assert Pace(0.05, 9_000, share=0.5).pause(0.04) == 0.04
    assert Pace(0.05, 9_000, share=1.0).pause(0.04) == 0.0


def test_a_server_with_other_work_gets_more_pause() -> None:
    few = Pace(0.05, 9_000, batch=10)
    assert few.pause(0.05) == 0.0
    assert few.pause(2.0) >= 1.8


def test_the_rate_is_of_late_and_with_its_pauses() -> None:
    meter = Meter(0.0)
    assert meter.rate == 0.0
    for second in range(1, 11):
        meter.add(second, 100)
    assert meter.rate == 100.0
    for second in range(11, 41):
        meter.add(second, 0)
    assert meter.rate == 0.0


def test_time_left() -> None:
    assert left(400, 1_000, 100.0) == 6.0
    assert left(400, 1_000, 0.0) is None
    assert left(1_200, 1_000, 100.0) is None


def test_what_people_are_told() -> None:
    assert told(400, 1_000, 100.0) == "400 of about 1,000 rows, 100 a second, about 6 s left"
    assert told(1_200, 1_000, 9.0) == "1,200 rows, more than was expected, 9 a second"
    assert told(0, 1_000_000, 50.0).endswith("about 5.6 h left")


def test_pauses_between_tries_grow_and_end() -> None:
    waits = [backing_off(tries, 1.0) for tries in range(1, 20)]
    assert waits == sorted(waits)
    assert waits[0] < 0.1
    assert waits[-1] == 2.0
    assert backing_off(50, 0.0) == 1.0


def test_what_a_replica_lacks_is_how_far_it_is_behind() -> None:
    beats = Beats()
    assert beats.lag(None, 5.0) == 0.0
    for mark, now in ((101.0, 1.0), (102.0, 2.0), (103.0, 3.0)):
        beats.left(mark, now)
    assert beats.lag(103.0, 9.0) == 0.0
    assert beats.lag(102.0, 9.0) == 6.0
    assert beats.lag(101.5, 9.0) == 7.0
    assert beats.lag(99.0, 9.0) == 8.0
    assert beats.lag(None, 9.0) == 8.0


def test_progress_of_several_together() -> None:
    done = Filling("a", 1, None, None, None, 50, 50, 10, Stand.DONE, 0.0, verified_at=1.0)
    half = Filling("a", 2, None, None, None, 25, 150, 10, Stand.RUNNING, 25.0)
    both = of_rows([done, half])
    assert (both.rows, both.of, both.rate, both.left) == (75, 200, 25.0, 5.0)
    assert of_rows([done]).left == 0.0
    assert of_rows([]).left is None
