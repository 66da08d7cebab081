"""The recorder: what was measured is kept, small, and read back whatever happened to the file."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.model import Colour
from greenroom.domain.plan import Plan, Step
from greenroom.engine.lease import Keeper
from greenroom.engine.reconciler import Reconciler
from greenroom.engine.recorder import FileRecorder, Recorded, path_of, recorded
from tests.engine.stage import Stage

BOUNDS = (1.0, 10.0, 100.0, float("inf"))


def sample(at: float, share: float | None = 10.0, incarnation: str = "one") -> Recorded:
    n = int(at)
    figures = Figures(n, n // 10, {"200": n - n // 10}, tuple((bound, n) for bound in BOUNDS), n // 20)
    return Recorded(at, share, Measurement(at / 2, incarnation, figures, Figures(2 * n), Figures(n)))


def test_what_was_measured_is_read_back_as_it_was(tmp_path: Path) -> None:
    recorder = FileRecorder(tmp_path / "measurements")
    given = [sample(100.0, None), sample(101.0), sample(102.5, 50.0, "two")]
    for one in given:
        recorder.add("r-0001", one)
    assert recorded(tmp_path / "measurements", "r-0001") == given
    assert recorded(tmp_path / "measurements", "r-0002") == []


def test_one_a_second_at_most_and_one_for_each_share(tmp_path: Path) -> None:
    recorder = FileRecorder(tmp_path)
    for tenth in range(100, 151):
        recorder.add("r-0001", sample(tenth / 10))
    assert [one.at for one in recorded(tmp_path, "r-0001")] == [10, 11, 12, 13, 14, 15]
    recorder.add("r-0001", sample(15.2, 0.0))
    recorder.add("r-0001", sample(15.4, 0.0))
    assert [one.at for one in recorded(tmp_path, "r-0001")][-2:] == [15, 15.2]


def test_a_line_that_was_not_written_to_its_end_harms_no_other(tmp_path: Path) -> None:
    FileRecorder(tmp_path).add("r-0001", sample(1.0))
    FileRecorder(tmp_path).add("r-0001", sample(2.0))
    path = path_of(tmp_path, "r-0001")
    path.write_bytes(path.read_bytes()[:-40])
    assert [one.at for one in recorded(tmp_path, "r-0001")] == [1.0]
    FileRecorder(tmp_path).add("r-0001", sample(3.0))
    assert [one.at for one in recorded(tmp_path, "r-0001")] == [1.0, 3.0]


def test_a_file_stays_small_and_still_reaches_from_begin_to_end(tmp_path: Path) -> None:
    recorder = FileRecorder(tmp_path, largest=20_000)
    for second in range(1000):
        recorder.add("r-0001", sample(float(second)))
        assert not second or path_of(tmp_path, "r-0001").stat().st_size <= 20_000
    kept = [one.at for one in recorded(tmp_path, "r-0001")]
    assert len(kept) > 20
    assert kept[0] < 100
    assert kept[-1] > 900


def test_the_last_releases_stay(tmp_path: Path) -> None:
    recorder = FileRecorder(tmp_path, kept=3)
    for number in (1, 2, 9998, 9999, 10000):
        recorder.add(f"r-{number:04}", sample(1.0))
    assert sorted(p.stem for p in tmp_path.iterdir()) == ["r-10000", "r-9998", "r-9999"]


def test_what_cannot_be_written_is_said_once_and_harms_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    recorder = FileRecorder(tmp_path / "file")
    with caplog.at_level(logging.WARNING):
        for second in range(5):
            recorder.add("r-0001", sample(float(second)))
    assert len(caplog.records) == 1


def test_the_engine_records_the_share_that_the_route_gave(tmp_path: Path) -> None:

    stage = Stage(plan=Plan(steps=(Step(10, 5.0), Step(100)), bake=5.0, drain=2.0, checks=("smoke",)))
    recorder = FileRecorder(tmp_path)
    keeper = Keeper(stage.journal, stage.owner)
    stage.engine = Reconciler("shop", stage.journal, keeper, lambda _: stage.adapters, stage.clock, recorder=recorder)
    stage.established()
    stage.deploy("2.0")
    stage.until_ended()
    kept = recorded(tmp_path, "r-0002")
    assert {one.share for one in kept} >= {10, 100}
    assert kept[-1].measurement.of(Colour.GREEN).requests > kept[0].measurement.of(Colour.GREEN).requests
