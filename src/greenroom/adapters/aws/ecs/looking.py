"""From one look at ECS to the status of a colour. Pure.

Ready means: the PRIMARY deployment runs our task definition, ECS has completed it, as many tasks run as shall, and they are
healthy behind the load balancer. That services are "stable" alone says nothing: they are, too, when the circuit breaker
has put the old task definition back.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from greenroom.adapters.aws.ecs.marks import REMOVED, Mark
from greenroom.adapters.aws.ecs.names import group_name
from greenroom.adapters.aws.ecs.services import Service, Target, Task, needed
from greenroom.adapters.aws.ecs.settings import EcsSettings
from greenroom.adapters.aws.ecs.shot import Shot
from greenroom.domain.model import Colour, Endpoint, EnvironmentStatus, Health, Member, Role

IN_VAIN = 3
"""Tasks of one deployment that failed one after the other, none of which ever ran, before it is given up."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process of a colour: its ECS service, and what is to run there. `least`: tasks that it must be told to run."""

    process: str
    service: Service
    routed: bool
    least: int

    @property
    def mark(self) -> Mark:
        return self.service.mark

    @property
    def stale(self) -> bool:
        """ECS was not told yet what it was to be told."""
        resting = not self.routed and not self.least
        wrong = self.service.desired > 0 if resting else self.service.desired < self.least
        return wrong or self.mark.told != self.mark.task

    @property
    def elsewhere(self) -> bool:
        return self.mark.told not in ("", self.service.primary.definition)

    @property
    def strayed(self) -> bool:
        """It was told, and works on something else since: not on what it did before, which an old answer would show."""
        return self.elsewhere and self.service.primary.begun > self.mark.begun

    @property
    def complete(self) -> bool:
        """ECS has nothing left to do with what it was told last, and what it ran before is gone."""
        service = self.service
        done = service.primary.rollout in ("", "COMPLETED") and not any(d.running or d.pending for d in service.others)
        return done and not self.elsewhere

    @property
    def wanted(self) -> int:
        """How many tasks have to be well: what the release was told to have, or fewer, where autoscaling took some away."""
        counted = self.mark.counted
        due = self.service.desired if counted is None or not self.complete else min(self.service.desired, counted)
        return max(due, self.least)

    @property
    def settled(self) -> bool:
        return not self.stale and self.complete and self.service.running >= self.wanted


def least(settings: EcsSettings, shot: Shot, colour: Colour) -> int:
    """How many tasks a release gets on this colour: while the other is active, and scaled by itself, no fewer than it."""
    other = shot.services.get(settings.services.of(colour.other))
    if other is None or other.mark.holds is not Role.ACTIVE:
        return settings.least
    if isinstance(settings.desired, int) and not other.mark.scaling:
        return settings.desired
    return max(settings.least, other.desired)


def status(settings: EcsSettings, shot: Shot, colour: Colour) -> EnvironmentStatus:
    head = needed(shot.services, settings.services.of(colour), settings.cluster)
    mark = head.mark
    held = mark.holds
    if held is None:
        return _vacant(settings, shot, colour, head)
    routed_least = least(settings, shot, colour) if held is Role.IDLE else 1
    main = Part(settings.container, head, True, routed_least)
    crew = [main, *_workers(settings, shot, colour, held)]
    role = _role(shot, crew, held)
    unfinished = main.stale or any(part.stale and not _ending(shot, part, held) for part in crew[1:])
    failed = next((text for text in map(hopeless, crew) if text), "")
    members = [m for part in crew for m in _members(settings, shot, colour, part)]
    detail = failed or "; ".join(text for part in crew if (text := _progress(shot, colour, part)))
    return EnvironmentStatus(
        colour, mark.release, mark.version, role, tuple(members), (), failed, detail, unfinished and not failed
    )


def _vacant(settings: EcsSettings, shot: Shot, colour: Colour, head: Service) -> EnvironmentStatus:
    """Nothing of ours shall run there. What is kept idle outside of a release is nobody's release."""
    own = [shot.services[name] for name in settings.names(colour) if name in shot.services]
    left = [service for service in own if _lasting(settings, shot, service, head)]
    removed = head.mark.role == REMOVED
    other = shot.services.get(settings.services.of(colour.other))
    held = removed and other is not None and other.mark.holds is not None and other.mark.scaling != ""
    if not left and not held:
        return EnvironmentStatus(colour)
    texts = [f"{s.name}: {s.running} of {s.desired} tasks of {s.primary.definition}" for s in left]
    texts += [f"the autoscaling of {colour.other} is still suspended"] if held and not left else []
    how = "stopping: " if removed else "not ours: "
    return EnvironmentStatus(colour, head.mark.release, head.mark.version or None, detail=how + "; ".join(texts))


def _lasting(settings: EcsSettings, shot: Shot, service: Service, head: Service) -> bool:
    if service is not head or not settings.idle:
        return shot.alive(service)
    stopping = any(task.wanted == "STOPPED" and not task.ended for task in shot.tasks.get(service.name, ()))
    return stopping or max(service.desired, service.running + service.pending) > settings.idle


def _workers(settings: EcsSettings, shot: Shot, colour: Colour, role: Role) -> Iterator[Part]:
    for process, worker in settings.workers.items():
        service = needed(shot.services, worker.services.of(colour), settings.cluster)
        yield Part(process, service, False, worker.desired if role is Role.ACTIVE else 0)


def _role(shot: Shot, crew: list[Part], held: Role) -> Role | None:
    """What is held in truth; None while workers are on their way out."""
    for part in crew[1:]:
        alive = shot.alive(part.service)
        if held is Role.IDLE and alive:
            return None
        if held is Role.ACTIVE and part.stale and alive:
            return None
    return held


def _ending(shot: Shot, part: Part, held: Role) -> bool:
    """The worker of a release before, on its way out: that of this one has to wait for it."""
    return held is Role.ACTIVE and not part.service.desired and shot.alive(part.service)


def hopeless(part: Part) -> str:
    """Why it can never become ready; "" if it may."""
    service, primary = part.service, part.service.primary
    resting = not part.routed and not part.least
    if resting or part.mark.told != part.mark.task:
        return ""
    if part.strayed:
        ours = next((d for d in service.others if d.definition == part.mark.told), None)
        reasons = (primary.reason, ours.reason if ours else "", _newest(service, "circuit breaker", "rolling back"))
        broke = next((text for text in reasons if "circuit breaker" in text or "rolling back" in text), "")
        who = f"ECS has put it back there: {broke.rstrip('.')}" if broke else "somebody else has changed it"
        return f"{service.name} runs {primary.definition}, not {part.mark.told}: {who}"
    if primary.rollout == "FAILED":
        return f"the deployment of {primary.definition} on {service.name} failed: {primary.reason or 'ECS gives no reason'}"
    if primary.failed >= IN_VAIN and not primary.running:
        return f"{primary.failed} tasks of {primary.definition} on {service.name} failed, and none runs"
    return ""


def _members(settings: EcsSettings, shot: Shot, colour: Colour, part: Part) -> Iterator[Member]:
    """One for each task that shall run, whether it does or not."""
    service, ill = part.service, hopeless(part)
    healths = [(Health.UNHEALTHY, ill) if ill else found for found in _healths(shot, colour, part)]
    wanted = part.wanted
    if part.complete and len(healths) > wanted:  # autoscaling adds some, and nobody misses them while they start
        healths = [h for h in healths if h[0] is not Health.STARTING] or healths[:wanted]
    missing = wanted - len(healths)
    healths += [(Health.UNHEALTHY, ill) if ill else (Health.STARTING, "no task yet")] * missing
    well = [number for number, (health, _) in enumerate(healths) if health is Health.HEALTHY]
    if well and not part.complete and (len(well) > 1 or part.mark.holds is Role.IDLE):
        healths[well[-1]] = Health.STARTING, "ECS has not completed the deployment"
    door = service.door(settings.container, settings.port) if part.routed else None
    for number, (health, detail) in enumerate(healths, 1):
        endpoint = Endpoint(group_name(door[0]), door[1]) if door and number == 1 else None
        yield Member(part.process, number, health, endpoint, part.routed, detail)


def _healths(shot: Shot, colour: Colour, part: Part) -> Iterator[tuple[Health, str]]:
    service, targets = part.service, shot.targets.get(colour, ())
    known = [task for task in shot.tasks.get(service.name, ()) if task.wanted == "RUNNING"]
    if part.elsewhere and not part.strayed:
        return
    if not known:
        yield from _counted(service, targets if part.routed else None)
        return
    for task in known:
        if task.definition != part.mark.task:
            continue
        yield _health(task, _target(task, targets) if part.routed else None, part)


def _counted(service: Service, targets: tuple[Target, ...] | None) -> Iterator[tuple[Health, str]]:
    """All is as it should be for ECS: which task is which is not asked."""
    running = service.running
    if targets is None:
        yield from [(Health.HEALTHY, "")] * running
        return
    told = sorted((_of_target(t) for t in targets if t.state != "draining"), key=lambda h: h[0] is not Health.HEALTHY)
    yield from (told + [(Health.UNKNOWN, "not known to the load balancer")] * running)[:running]


def _target(task: Task, targets: tuple[Target, ...]) -> Target | bool | None:
    """True: on a machine's own address, where tasks cannot be told apart."""
    if not task.address:
        return True
    return next((target for target in targets if target.id == task.address), None)


def _health(task: Task, target: Target | bool | None, part: Part) -> tuple[Health, str]:
    if task.status != "RUNNING":
        return Health.STARTING, f"task {task.id[:8]} is {task.status.lower()}"
    if task.healthy is False:
        return Health.UNHEALTHY, f"task {task.id[:8]}: its own health check fails"
    if target is True or not part.routed:
        return Health.HEALTHY, ""
    if not isinstance(target, Target):
        return Health.STARTING, f"task {task.id[:8]} is not behind the load balancer yet"
    health, why = _of_target(target)
    if health is Health.UNHEALTHY and part.service.primary.rollout == "IN_PROGRESS":
        health = Health.STARTING
    return health, f"task {task.id[:8]}: {why}" if why else ""


def _of_target(target: Target) -> tuple[Health, str]:
    match target.state:
        case "healthy":
            return Health.HEALTHY, ""
        case "initial" | "draining":
            return Health.STARTING, target.why or target.state
        case "unhealthy":
            return Health.UNHEALTHY, target.why or "unhealthy behind the load balancer"
        case "unused":
            return Health.UNKNOWN, f"{target.why or 'unused'}: no listener sends anything to its target group"
        case _:
            return Health.UNKNOWN, target.why or target.state


def _progress(shot: Shot, colour: Colour, part: Part) -> str:
    """What is being waited for, "" if nothing is."""
    service = part.service
    if part.settled and service.running >= part.least:
        ill = [why for health, why in _healths(shot, colour, part) if health is not Health.HEALTHY]
        return f"{part.process}: {ill[0]}" if ill else ""
    told = [f"{part.process}: {service.running} of {max(service.desired, part.least)} tasks run"]
    told += [why for health, why in _healths(shot, colour, part) if health is not Health.HEALTHY][:1]
    if said := _newest(service, "unable", "failed", "unhealthy", "insufficient", "error"):
        told.append(said)
    return "; ".join(text for text in told if text)


def _newest(service: Service, *words: str) -> str:
    """The newest event of ECS since this deployment began that says one of these."""
    for at, text in service.events[:20]:
        if at >= service.primary.begun - 1 and any(word in text for word in words):
            return text.rstrip(".")
    return ""
