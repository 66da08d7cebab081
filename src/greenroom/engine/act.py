"""Doing one action: which call of which port it is, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from greenroom.domain.actions import Action, Apply, Ask, Make, Remove, Route, Unroute, Withdraw
from greenroom.domain.model import Verdict
from greenroom.domain.opinion import Finding
from greenroom.domain.records import Outcome
from greenroom.domain.release import Service
from greenroom.engine.look import explain
from greenroom.engine.world import Adapters, case_of
from greenroom.errors import Permanent, PortError, Temporary, Uncertain
from greenroom.ports import ActionKey

NO_ANSWER = 5.0
"""Seconds until a check that could not answer is asked again."""


@dataclass(frozen=True, slots=True)
class Result:
    """`retry_after`: what the port asked for. `finding`: of a check that was asked."""

    outcome: Outcome
    detail: str = ""
    retry_after: float = 0.0
    finding: Finding | None = None


def key_of(action: Action, service: Service, epoch: int) -> ActionKey:
    """The action's name: the same after a crash, another once it was done and is wanted again."""
    release = service.running
    name, phase, step = (release.id, release.phase, release.step) if release else ("-", "idle", 0)
    generation = 0
    while True:
        key = ActionKey(name, phase, step, action.verb, action.target, generation, epoch)
        attempt = service.attempts.get(str(key))
        if attempt is None or attempt.outcome is not Outcome.DONE:
            return key
        generation += 1


def perform(action: Action, key: ActionKey, service: Service, adapters: Adapters, now: float) -> Result:
    """Do it, `now` on the journal's clock. What goes wrong is a result; a foreign error may have done anything."""
    try:
        finding = _call(action, key, service, adapters, now)
    except Temporary as error:
        return Result(Outcome.TEMPORARY, error.message, error.retry_after, _no_answer(action, error))
    except Permanent as error:
        return Result(Outcome.PERMANENT, error.message, finding=_no_answer(action, error))
    except Uncertain as error:
        return Result(Outcome.UNCERTAIN, error.message, finding=_no_answer(action, error))
    except Exception as error:
        return Result(Outcome.UNCERTAIN, explain(error), finding=_no_answer(action, error))
    return Result(Outcome.DONE, finding=finding)


def _no_answer(action: Action, error: Exception) -> Finding | None:
    """A check that raises has no opinion: unknown, neither healthy nor failed."""
    if not isinstance(action, Ask):
        return None
    wait = max(NO_ANSWER, error.retry_after) if isinstance(error, Temporary) else NO_ANSWER
    reason = explain(error) if isinstance(error, PortError) else f"the check broke: {explain(error)}"
    return Finding(Verdict.UNKNOWN, reason, wait, action.memo)


def _call(action: Action, key: ActionKey, service: Service, adapters: Adapters, now: float) -> Finding | None:
    match action:
        case Make(spec):
            adapters.artefact.apply(spec, key)
        case Apply(colour, spec):
            adapters.environment.apply(colour, spec, key)
        case Remove(colour):
            adapters.environment.remove(colour, key)
        case Route(spec):
            adapters.router.apply(spec, key)
        case Unroute():
            adapters.router.remove()
        case Ask(name, memo, gate):
            check = (adapters.gates if gate else adapters.checks).get(name)
            if check is None:
                return Finding(Verdict.FAIL, f"{action.target} is not there any more", 0.0, memo)
            return check.ask(case_of(service, adapters, now, gate=name if gate else "", epoch=key.epoch), memo)
        case Withdraw(name, memo, gate):
            check = (adapters.gates if gate else adapters.checks).get(name)
            if check is not None:
                check.withdraw(case_of(service, adapters, now, gate=name if gate else "", epoch=key.epoch), memo)
        case _:
            assert_never(action)
    return None
