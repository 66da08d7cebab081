"""The verbs that steer the service and not a release: reconcile, retire, down, unlock; and waiting until it is so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from greenroom.cli.context import Context, Installation
from greenroom.cli.follow import ASLEEP_AFTER
from greenroom.cli.look import own_look
from greenroom.cli.quick import merged

UP_WITHIN, GONE_WITHIN, ENDS_WITHIN = 120.0, 150.0, 30.0
"""Seconds until what was live is up again, until something has stopped (beside its own timeouts), until we have ended."""


def reconcile(context: Context, why: str, *, accept: bool) -> int:
    """Put the route back, or accept it; and see to it that somebody is awake: also what is run after a reboot."""
    installed = context.reach()
    before = installed.control.state()
    details = {"accept": True} if accept else {}
    accepted = context.ask(installed, "reconcile", why, **details)
    if before.down:
        return context.result(0, "The service is down, on purpose.", hint="`greenroom resume` starts it again")
    if before.active is None and before.running is None:
        return context.result(0, f"Nothing is live: {accepted.text}.")
    return until_up(context, installed)


def until_up(context: Context, installed: Installation, text: str = "", hint: str = "") -> int:
    """Until the router serves what the journal says is live. `text`, `hint`: what to say then."""

    def up(status: dict[str, Any]) -> bool:
        return status["route"] == "in_sync" and not status["drift"] and not status["down"] and _serves(status)

    status = wait_for(context, installed, up, UP_WITHIN)
    if not up(status):
        why = status["drift"] or f"the route is {status['route']}"
        return context.result(6, f"Not within {UP_WITHIN:.0f} s: {why}.", hint="`greenroom status` says more")
    active, release = status["active"], status["release"]
    text = text or (
        f"{active['version']} is live on {active['colour']}, in sync." if active else "The route is in sync."
    )
    running = release is not None and release["ended"] is None
    hint = f"{release['id']} goes on: `greenroom status` tells how" if running else hint
    return context.result(0, text, hint=hint)


def _serves(status: dict[str, Any]) -> bool:
    """The active colour has its replicas up."""
    active = status["active"]
    return active is None or status["environments"][active["colour"]]["state"] == "ready"


def retire(context: Context, why: str) -> int:
    installed = context.reach()
    accepted = context.ask(installed, "retire", why)
    if not accepted.written:
        return context.result(0, f"{accepted.text}.")
    context.say("Draining and stopping the idle environment …")
    status = wait_for(context, installed, _idle_gone, GONE_WITHIN + _patience(installed))
    if not _idle_gone(status):
        detail = status["idle"]["detail"] or status["idle"]["state"]
        text = f"The idle environment is not gone yet: {detail}. The engine goes on with it."
        return context.result(6, text, hint="`greenroom status` says more")
    return context.result(0, f"The idle environment ({status['idle']['colour']}) is gone.")


def _idle_gone(status: dict[str, Any]) -> bool:
    return status["warm"] is None and status["idle"]["state"] == "absent"


def down(context: Context, why: str, *, yes: bool) -> int:
    installed = context.reach()
    active = installed.control.state().active
    if context.live and not yes and active is not None and not installed.control.state().down:
        import click

        if not click.confirm(f"Stop {installed.name}? {active.version} is live; nothing will answer", err=True):
            return context.result(4, "Nothing was changed.")
    context.ask(installed, "down", why)
    context.say("The router ends first, then both environments …")
    status = wait_for(context, installed, _all_gone, GONE_WITHIN + _patience(installed))
    if not _all_gone(status):
        left = ", ".join(f"{c} is {e['state']}" for c, e in status["environments"].items() if e["state"] != "absent")
        text = f"Not everything has ended yet: {left or 'the router cannot be seen'}. The engine goes on with it."
        return context.result(6, text, hint="`greenroom down` again waits on")
    installed.shutdown()
    if left := _left_over(context, installed):
        return context.result(6, f"Still ending: {left}.", hint="`greenroom down` again waits on")
    hint = "`greenroom resume` starts it again, `greenroom deploy VERSION` another version"
    return context.result(0, f"{installed.name} is down.", hint=hint)


def _all_gone(status: dict[str, Any]) -> bool:
    absent = all(e["state"] == "absent" for e in status["environments"].values())
    return bool(status["down"]) and absent and not status["traffic"] and status["route"] == "in_sync"


def _left_over(context: Context, installed: Installation) -> str:
    """What of our own programs still runs after a while; the supervisor ends last."""
    clock = context.tools.clock
    until = clock.now() + ENDS_WITHIN
    while (left := installed.supervisor.observe()) and clock.now() < until:
        clock.sleep(0.1)
    return ", ".join(sorted(left))


def _patience(installed: Installation) -> float:
    """What the service's own file allows for draining."""
    service = installed.control.state()
    return max((d.plan.drain for d in (service.active, service.release) if d is not None), default=0.0)


def wait_for(
    context: Context, installed: Installation, reached: Callable[[dict[str, Any]], bool], within: float
) -> dict[str, Any]:
    """The status document in which this is so, or the last one before the time was over. Keeps the engine awake."""
    clock = context.tools.clock
    begun = heard = clock.now()
    while True:
        told = context.tools.enquire(installed.state)
        if told is not None and "status" in told:
            heard = clock.now()
            status = merged(told)
            if reached(status):
                return status
        elif clock.now() - heard > ASLEEP_AFTER:
            heard = clock.now()
            installed.ensure_engine()
        if clock.now() - begun > within:
            return own_look(installed, [])
        clock.sleep(0.2)


def unlock(context: Context, why: str) -> int:
    installed = context.reach()
    before = installed.control.unlock(installed.owner(), installed.by(), why)
    installed.ensure_engine()
    if before is None:
        return context.result(0, "Nobody held the lock.", hint="`greenroom status` shows what is")
    return context.result(0, f"The lock was taken from {before.owner.text}; an engine may claim it anew.")
