"""The routers of several hosts as one route: it moves on all of them, or it goes back on all of them.

Each is switched by itself, so for a moment they differ. That is never called live: what was told is what the newest
telling says, `unfinished`, until every router was seen to serve it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar

from greenroom.adapters.several.answers import apart, gather, listed, named, said
from greenroom.adapters.several.environment import inspected, on
from greenroom.adapters.several.side_by_side import Pool, SideBySide
from greenroom.domain.model import Backend, Colour, Endpoint, Routing, RoutingSpec
from greenroom.domain.phases import Phase
from greenroom.errors import Permanent, Temporary
from greenroom.ports import ActionKey, Capability, Facts, Router

_GOING_BACK = frozenset({Phase.ABORTING, Phase.ROLLING_BACK, "idle"})
"""In these phases, and without a release, nothing new gets traffic: a host that is lost does not hold up the others."""


class SeveralRouters:
    """`members` by the names of their hosts. `own`: each routes to the replicas of its own host only, which have their
    addresses as that host sees them; else each routes to those of all hosts, and is told of which machine each one is.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def __init__(self, members: Mapping[str, Router], own: bool, pool: Pool | None = None) -> None:
        self._members, self._own, self._pool = dict(members), own, pool or SideBySide()
        common = frozenset.intersection(*(member.capabilities for member in self._members.values()))
        self.capabilities = common  # type: ignore[misc]  # of this one: what all of its hosts can do

    # --- observing --------------------------------------------------------------------------------------------

    def observe(self) -> Routing:
        given, unseen = self._look()
        if unseen and not any(routing.told or routing.detail for routing in given.values()):
            raise Temporary(said(unseen))  # whether anything was ever told is not known
        routing = together(given, self._own)
        busy = self._pool.busy("tell")
        if busy:  # what it is being told just now may land later
            moving = f"{listed(sorted(busy))}: still being told"
            routing = replace(routing, live=None, detail="; ".join(t for t in (routing.detail, moving) if t))
        if not unseen:
            return routing
        blind = tuple(named(name, text) for name, text in unseen.items())
        detail = "; ".join(t for t in (routing.detail, said(unseen)) if t)
        return replace(routing, running=True, live=None, detail=detail, unseen=blind)

    def _look(self) -> tuple[dict[str, Routing], dict[str, str]]:
        return apart(self._pool.look("observe", {name: m.observe for name, m in self._members.items()}))

    # --- telling ----------------------------------------------------------------------------------------------

    def apply(self, spec: RoutingSpec, key: ActionKey) -> None:
        """Traffic moves only where every router can be told of it, unless it goes back: then as many as can be at once."""
        specs = {name: share(spec, name) if self._own else spec for name in self._members}
        nowhere = {name: empty for name, own in specs.items() if (empty := _empty(own))}
        away = {name: f"has no replica of {empty} that is known here" for name, empty in nowhere.items()}
        if key.phase not in _GOING_BACK:
            away |= self._refusing(spec, key, away)
        calls: dict[str, Callable[[], None]] = {
            name: partial(member.apply, specs[name], on(name, key))
            for name, member in self._members.items()
            if name not in away
        }
        answers = self._pool.act("tell", (spec, key.epoch), calls)
        gather(answers, {name: Temporary(text) for name, text in away.items()})

    def _refusing(self, spec: RoutingSpec, key: ActionKey, away: Mapping[str, str]) -> dict[str, str]:
        """Who cannot be reached, where the others may be told all the same; raises where they may not."""
        given, unseen = self._look()
        newer = {name: routing.epoch for name, routing in given.items() if routing.epoch > key.epoch}
        if newer:
            text = said({name: f"was told something under a newer lease ({epoch})" for name, epoch in newer.items()})
            hint = "another Greenroom is in charge now; this one has to stop"
            raise Permanent(f"{text} than ours ({key.epoch}); nothing was switched", hint=hint)
        told = [routing.told for routing in given.values() if routing.told is not None]
        moves = not told or any((one.split, one.first) != (spec.split, spec.first) for one in told)
        missing = {**away, **unseen}
        if missing and moves:
            raise Temporary(f"{said(missing)}; nothing was switched on any host")
        return unseen

    def remove(self) -> None:
        gather(self._pool.act("tell", None, {name: member.remove for name, member in self._members.items()}))

    # --- the rest ---------------------------------------------------------------------------------------------

    def reach(self, test: bool = False) -> tuple[str, Mapping[str, str]]:
        """By way of the first host; `EachWay` asks by all of them."""
        return next(iter(self._members.values())).reach(test)

    def inspect(self, colour: Colour) -> Mapping[str, Facts]:
        return inspected(self._members, self._pool, colour)


# --- one route, and its shares ----------------------------------------------------------------------------------------


def share(spec: RoutingSpec, name: str) -> RoutingSpec:
    """What the router of this host is told where each routes to its own replicas."""

    def own(backend: Backend) -> Backend:
        return replace(backend, endpoints=tuple(replace(e, machine="") for e in backend.endpoints if e.machine == name))

    return replace(spec, blue=own(spec.blue), green=own(spec.green))


def _empty(spec: RoutingSpec) -> str:
    """A colour that this router would send users to without having anywhere to send them."""
    sent = {c for c in Colour if spec.split.of(c) > 0} | ({spec.first.colour} if spec.first else set())
    return next((str(c) for c in Colour if c in sent and not spec.backend(c).endpoints), "")


def together(given: Mapping[str, Routing], own: bool) -> Routing:
    """One route of all that could be seen."""
    broken = {name: routing.detail for name, routing in given.items() if routing.told is None and routing.detail}
    told = {name: routing for name, routing in given.items() if routing.told is not None}
    spec = None if broken or not told else _united(told, newest(told, own), own)
    differ = len(told) < len(given) or len({_essence(routing.told, own) for routing in told.values()}) > 1
    lives = {routing.live if routing.running else None for routing in given.values()}
    agreed = not differ and len(lives) == 1
    details = {name: routing.detail for name, routing in given.items()}
    if told and (differ or len(lives) > 1):
        details = {name: _who(routing) for name, routing in given.items()}
    settles = [routing.settles_at for routing in given.values() if routing.settles_at is not None]
    return Routing(
        running=any(routing.running for routing in given.values()),
        told=spec,
        live=next(iter(lives)) if agreed else None,
        live_revision=_joined({name: routing.live_revision for name, routing in given.items()}),
        revision=_joined({name: routing.revision for name, routing in given.items()}),
        epoch=max((routing.epoch for routing in given.values()), default=0),
        holding={c: sum(routing.holding.get(c, 0) for routing in given.values()) for c in Colour},
        settles_at=max(settles) if settles else None,
        unfinished=spec is not None and (differ or any(r.unfinished or not r.running for r in given.values())),
        detail=said(broken) or said(details),
    )


def newest(told: Mapping[str, Routing], own: bool) -> str:
    """The host that was told last: under the newest lease, and under the same lease what most were told.

    Revisions of different routers cannot be compared. Within one lease there is at most one telling that did not reach all,
    and it is safe to finish either: the phase that wanted it tells it again.
    """
    epoch = max(routing.epoch for routing in told.values())
    latest = {name: _essence(routing.told, own) for name, routing in told.items() if routing.epoch == epoch}
    votes = Counter(latest.values())
    return max(latest, key=lambda name: votes[latest[name]])


def _united(told: Mapping[str, Routing], name: str, own: bool) -> RoutingSpec:
    """This host's telling, with the endpoints that the others know of the same releases."""
    spec = told[name].told
    assert spec is not None
    if not own:
        return spec
    return replace(spec, blue=_backend(told, spec, Colour.BLUE), green=_backend(told, spec, Colour.GREEN))


def _backend(told: Mapping[str, Routing], spec: RoutingSpec, colour: Colour) -> Backend:
    wanted, found = spec.backend(colour), set[Endpoint]()
    for name, routing in told.items():
        theirs = routing.told.backend(colour) if routing.told else Backend()
        if theirs.release == wanted.release:
            found |= {replace(e, machine=name) for e in theirs.endpoints}
    return replace(wanted, endpoints=tuple(sorted(found)))


def _essence(spec: RoutingSpec | None, own: bool) -> object:
    """What must be the same on all hosts."""
    if spec is None or not own:
        return spec
    backends = ((b.version, b.release) for b in (spec.blue, spec.green))
    return (spec.split, spec.test, spec.mirror, spec.first, spec.shield, *backends)


def _who(routing: Routing) -> str:
    serves = f"serves {routing.live}" if routing.running and routing.live else "serves nothing that can be seen"
    told = f"was told {routing.told.split}" if routing.told else "was told nothing"
    return f"{told}, {serves}" + (f" ({routing.detail})" if routing.detail else "")


def _joined(texts: Mapping[str, str]) -> str:
    names: Sequence[str] = sorted(texts)
    return ";".join(f"{name}={texts[name]}" for name in names)
