"""The engine's parts, each by itself: the look, the lease, the outbox, the scheduler, the fan-out."""

from __future__ import annotations

import threading
from pathlib import Path

from greenroom.domain.model import RoutingSpec, Split
from greenroom.domain.observation import Need
from greenroom.domain.phases import Phase
from greenroom.domain.records import Started
from greenroom.domain.release import Service
from greenroom.engine.fanout import Inline, Threads
from greenroom.engine.followers import CursorFile, CursorMemory, Outbox
from greenroom.engine.lease import Heartbeat, Keeper
from greenroom.engine.look import Looker
from greenroom.engine.scheduler import Scheduler
from greenroom.errors import Permanent, Temporary
from greenroom.ports import ActionKey, Owner
from greenroom.testing.clock import FakeClock
from greenroom.testing.fakes import FakeNotifier
from greenroom.testing.faults import Fault, Faults
from greenroom.testing.memory import MemoryJournal
from tests.engine.scenarios import SHORT
from tests.engine.stage import Stage

LONG = 30.0
"""Seconds that a test waits for what should take milliseconds."""


class Steady:
    """A clock of this test's own, for code that waits for threads: it moves by itself, without end."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        self.at += 0.01
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


# --- the look ---------------------------------------------------------------------------------------------------------


def test_a_port_that_hangs_is_unseen_and_neither_asked_twice_nor_waited_for_again() -> None:
    stage, gate, asked = Stage(plan=SHORT), threading.Event(), []

    def hanging() -> object:
        asked.append(1)
        gate.wait(LONG)
        return observe()

    observe, stage.router.observe = stage.router.observe, hanging  # type: ignore[method-assign, assignment]
    fan = Threads(4)
    try:
        looker = Looker(fan, Threads(1), Steady(), within=0.2)
        first = looker.see(Service(), stage.sound_adapters, 0.0)
        assert "no answer" in first.unseen[Need.ROUTING]
        assert first.blue is not None
        looker.forget()
        assert Need.ROUTING in looker.see(Service(), stage.sound_adapters, 0.0).unseen
        assert asked == [1]
        gate.set()
        for _ in range(3000):
            looker.forget()
            if looker.see(Service(), stage.sound_adapters, 0.0).routing is not None:
                break
            threading.Event().wait(0.01)
        else:
            raise AssertionError("it never came back")
    finally:
        gate.set()
        fan.close()


def test_an_answer_from_before_an_act_is_not_used_after_it() -> None:
    """A look that was under way when something was done is asked again."""
    stage, gate, answers = Stage(plan=SHORT), threading.Event(), []
    observe = stage.router.observe

    def slow() -> object:
        answers.append(len(answers))
        if len(answers) == 1:
            gate.wait(LONG)
        return observe()

    stage.router.observe = slow  # type: ignore[method-assign, assignment]
    fan = Threads(4)
    try:
        looker = Looker(fan, Threads(1), Steady(), within=LONG)
        impatient = Looker(fan, Threads(1), Steady(), within=0.05)
        impatient.see(Service(), stage.sound_adapters, 0.0)
        looker._glance = 1  # as after `forget`: what is under way has the tag 0
        gate.set()
        assert looker.see(Service(), stage.sound_adapters, 0.0).routing is not None
        assert answers == [0, 1]
    finally:
        gate.set()
        fan.close()


def test_who_must_not_be_asked_often_is_asked_again_after_an_act_and_only_then() -> None:
    stage = Stage(plan=SHORT, seldom=True)
    looker = Looker(Inline(), Inline(), stage.clock)

    def look() -> bool:
        looker.see(Service(), stage.adapters, 0.0, at_most=0.0)
        return looker.partly

    router = stage.adapters.router
    assert [look(), look(), look()] == [False, True, True]
    assert router.asked == 1  # type: ignore[attr-defined]
    looker.forget()
    assert [look(), look()] == [False, True]
    assert router.asked == 2  # type: ignore[attr-defined]


# --- the lease --------------------------------------------------------------------------------------------------------


def test_the_heartbeat_keeps_the_lease_while_a_port_takes_its_time() -> None:
    clock = FakeClock()
    journal = MemoryJournal(clock)
    keeper = Keeper(journal, Owner("one", "the first"), ttl=10.0)
    assert keeper.hold() is not None
    beat = Heartbeat(keeper, every=0.01)
    beat.start()
    try:
        for _ in range(5):
            clock.sleep(6.0)
            seen = threading.Event()
            for _ in range(int(LONG * 100)):
                holder = journal.holder()
                if holder is not None and holder.expires >= clock.now() + 9.0:
                    seen.set()
                    break
                threading.Event().wait(0.01)
            assert seen.is_set()
    finally:
        beat.stop()
    assert journal.claim(Owner("two", "the second"), 10.0).owner.identity == "one"
    keeper.give_back()
    assert journal.claim(Owner("two", "the second"), 10.0).owner.identity == "two"


def test_two_engines_one_acts_and_the_other_takes_over_when_it_is_gone() -> None:
    stage = Stage(plan=SHORT, dead_is_known=False)
    stage.established()
    first = stage.engine
    stage.engine = second = stage.new_engine()
    stage.deploy("2.0")
    stage.run(5.0)
    assert stage.service.release is not None
    assert stage.service.release.phase is Phase.BUILD, "the second acted without the lease"
    first.close()
    assert stage.until_ended().phase is Phase.SUCCEEDED
    assert second.service.release is not None
    stage.assert_sound()


def test_an_action_has_the_same_key_after_a_crash_and_another_when_it_is_wanted_again() -> None:
    calm = Stage(plan=SHORT)
    calm.established()
    calm.deploy("2.0")
    calm.until_ended()
    shift = [n for n, name in enumerate(calm.faults.boundaries) if name == "router.apply"][1]
    stage = Stage(plan=SHORT, faults=Faults({shift: Fault.CRASH_BEFORE, shift + 20: Fault.CRASH_BEFORE}))
    stage.established()
    keys: list[str] = []
    apply = stage.router.apply

    def told(spec: RoutingSpec, key: ActionKey) -> None:
        keys.append(str(key))
        apply(spec, key)

    stage.router.apply = told  # type: ignore[method-assign]
    stage.deploy("2.0")
    stage.until_ended()
    begun = [e.record.key for e in stage.journal.read() if isinstance(e.record, Started) and e.record.verb == "route"]
    assert stage.engines > 1
    assert begun.count("r-0002/shift/0/route/0-100/0") == 1
    assert keys.count("r-0002/shift/0/route/0-100/0") == 1
    # when a reboot makes it necessary again, it has another name
    stage.world.reboot()
    stage.run(30.0)
    stage.world.reboot()
    stage.run(30.0)
    assert keys[-1].startswith("-/idle/0/route/0-100/")
    assert len(set(keys)) == len(keys)


# --- the outbox -------------------------------------------------------------------------------------------------------


def test_every_event_is_told_at_least_once_in_order_across_failures_and_restarts(tmp_path: Path) -> None:
    stage = Stage(plan=SHORT)
    flaky, picky = FakeNotifier("flaky", failing=3), FakeNotifier("picky", frozenset({"rolled_back"}))
    file = tmp_path / "notified.json"

    def outbox() -> Outbox:
        return Outbox("shop", stage.journal, lambda: [flaky, picky], CursorFile(file), stage.clock)

    box = outbox()
    stage.deploy("1.0")
    while stage.service.running is not None:
        stage.clock.sleep(stage.turn())
        box.step()
    box = outbox()  # a restart
    stage.run(1.0)
    stage.deploy("2.0")
    stage.run(30.0, stage.in_phase(Phase.BAKE))
    stage.request("rollback")
    stage.until_ended()
    for _ in range(50):
        stage.clock.sleep(min(box.step(), 60.0))
    kinds = [event.kind for event in flaky.told]
    assert kinds == ["started", "shifted", "succeeded", "started", "shifted", "rolled_back"]
    assert len({event.id for event in flaky.told}) == len(kinds)
    assert [event.kind for event in picky.told] == ["rolled_back"]
    assert "2.0 was taken back, 1.0 serves" in picky.told[0].text
    again = FakeNotifier("flaky")
    Outbox("shop", stage.journal, lambda: [again], CursorFile(file), stage.clock).step()
    assert again.told == []


def test_a_notifier_that_never_can_holds_nobody_up_and_a_new_one_is_spared_the_history() -> None:
    class Never(FakeNotifier):
        def notify(self, event: object) -> None:
            raise Permanent("404")

    class Later(FakeNotifier):
        def notify(self, event: object) -> None:
            raise Temporary("no answer")

    stage = Stage(plan=SHORT)
    stage.established()
    stage.deploy("2.0")
    stage.until_ended()
    good, store = FakeNotifier("good"), CursorMemory()
    box = Outbox("shop", stage.journal, lambda: [Never("never"), Later("later"), good], store, stage.clock)
    assert 0 < box.step() <= 1.0
    assert [event.version for event in good.told] == ["2.0"] * 3
    assert store.cursors["never"] == store.cursors["good"] == len(stage.journal.read())
    for _ in range(2000):
        stage.clock.sleep(box.step() + 200.0)
    assert store.cursors["later"] == store.cursors["good"], "given up after a day"


def test_what_a_person_hears_of_drift_of_a_pause_and_of_being_stuck() -> None:
    stage = Stage(plan=SHORT)
    good = FakeNotifier("good")
    stage.established()
    stage.deploy("2.0")
    stage.run(30.0, stage.in_phase(Phase.BAKE))
    stage.request("pause")
    stage.world.stranger_sets(Split(50, 50))
    stage.run(5.0)
    stage.request("reconcile")
    stage.until_ended()
    Outbox("shop", stage.journal, lambda: [good], CursorMemory(), stage.clock).step()
    assert [e.kind for e in good.told] == ["started", "shifted", "paused", "drifted", "recovered", "succeeded"]


# --- the scheduler ----------------------------------------------------------------------------------------------------


def test_a_service_is_stepped_by_one_thread_at_a_time_when_it_is_due_or_poked() -> None:
    done, inside, overlaps = threading.Event(), threading.Lock(), []
    steps: dict[str, int] = {"busy": 0, "calm": 0, "broken": 0}

    def busy() -> float:
        if not inside.acquire(blocking=False):
            overlaps.append(1)
        else:
            inside.release()
        steps["busy"] += 1
        return 0.0

    def calm() -> float:
        steps["calm"] += 1
        if steps["calm"] == 3:
            done.set()
        return 3600.0

    def broken() -> float:
        steps["broken"] += 1
        raise RuntimeError("a bug")

    scheduler = Scheduler(workers=3)
    for name, step in (("busy", busy), ("calm", calm), ("broken", broken)):
        scheduler.add(name, step)
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    try:
        for _ in range(int(LONG * 100)):
            scheduler.poke("calm")
            if done.wait(0.01):
                break
        assert done.is_set()
    finally:
        scheduler.stop()
        thread.join(LONG)
    assert not thread.is_alive()
    assert not overlaps
    assert steps["busy"] > 3
    assert steps["broken"] == 1
