"""What every artefact promises, as tests: subclass `ArtefactContract` and give it a `bench`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pytest

from greenroom.domain.model import ArtefactSpec, ArtefactStatus, Making
from greenroom.ports import ActionKey, Artefact

KEY = ActionKey("r-1", "build", 0, "make", "r-1", 0)


class ArtefactBench(Protocol):
    """What the contract needs to know beside the port. The witness goes round it."""

    def open(self) -> Artefact:
        """The same, as another process would see it."""

    def spec(self, version: str) -> ArtefactSpec:
        """A release of this version; `broken` cannot be made, and says `no luck`."""

    def witness(self, reference: str) -> str:
        """What the artefact holds: something that is made of the source as it is then."""

    def change_source(self) -> None:
        """From now on what is made is different."""

    def wait(self, until: Callable[[], bool], what: str) -> None:
        """Fails, saying `what`, if it does not hold within a generous time."""


class ArtefactContract:
    """A subclass gives a fixture `bench` that returns an `ArtefactBench`, fresh for each test."""

    @pytest.fixture
    def bench(self) -> ArtefactBench:
        raise NotImplementedError("a subclass gives the bench")

    @pytest.fixture
    def artefact(self, bench: ArtefactBench) -> Artefact:
        return bench.open()

    def test_it_is_made_once_and_never_changes(self, bench: ArtefactBench, artefact: Artefact) -> None:
        one, two = bench.spec("1"), bench.spec("2")
        assert artefact.observe(one).state is Making.ABSENT
        artefact.apply(one, KEY)
        bench.open().apply(one, KEY)
        made = ready(bench, artefact, one)
        held = bench.witness(made.reference)
        bench.change_source()
        artefact.apply(one, KEY)
        assert bench.open().observe(one) == made
        assert bench.witness(made.reference) == held
        artefact.apply(two, KEY)
        other = ready(bench, artefact, two)
        assert other.reference != made.reference
        assert bench.witness(other.reference) != held

    def test_what_cannot_be_made_says_why(self, bench: ArtefactBench, artefact: Artefact) -> None:
        spec = bench.spec("broken")
        artefact.apply(spec, KEY)
        bench.wait(lambda: artefact.observe(spec).state is Making.FAILED, "it failed")
        assert "no luck" in artefact.observe(spec).detail
        assert not artefact.observe(spec).reference

    def test_what_is_removed_is_absent(self, bench: ArtefactBench, artefact: Artefact) -> None:
        one, two = bench.spec("1"), bench.spec("2")
        artefact.remove(one.release, KEY)  # nothing is there
        for spec in (one, two):
            artefact.apply(spec, KEY)
            ready(bench, artefact, spec)
        artefact.remove(one.release, KEY)
        assert artefact.observe(one).state is Making.ABSENT
        assert artefact.observe(two).state is Making.READY
        artefact.apply(one, KEY)
        ready(bench, artefact, one)


def ready(bench: ArtefactBench, artefact: Artefact, spec: ArtefactSpec) -> ArtefactStatus:
    bench.wait(lambda: artefact.observe(spec).state is not Making.MAKING, f"{spec.version} is made")
    status = artefact.observe(spec)
    assert status.state is Making.READY, status.detail
    return status
