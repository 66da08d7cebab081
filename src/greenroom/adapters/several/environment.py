"""The environments of several hosts as one: a colour is ready when it is ready on every host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from greenroom.adapters.several.answers import apart, gather, named, said
from greenroom.adapters.several.side_by_side import Pool, SideBySide
from greenroom.domain.model import Colour, Endpoint, EnvironmentSpec, EnvironmentStatus, Health, Member, Role
from greenroom.errors import Temporary
from greenroom.ports import ActionKey, Capability, Environment, Facts, Line, Usage


class SeveralEnvironments:
    """`members` by the names of their hosts. A host that cannot be seen is a member of unknown health: it does not hide
    the others, and it does not let the colour be called ready.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def __init__(self, members: Mapping[str, Environment], pool: Pool | None = None) -> None:
        self._members, self._pool = dict(members), pool or SideBySide()
        common = frozenset.intersection(*(member.capabilities for member in self._members.values()))
        self.capabilities = common  # type: ignore[misc]  # of this one: what all of its hosts can do

    def observe(self, colour: Colour) -> EnvironmentStatus:
        calls = {name: partial(member.observe, colour) for name, member in self._members.items()}
        given, unseen = apart(self._pool.look(f"observe-{colour}", calls))
        if not given:
            raise Temporary(said(unseen))
        return together(colour, given, unseen)

    def apply(self, colour: Colour, spec: EnvironmentSpec, key: ActionKey) -> None:
        calls = {name: partial(m.apply, colour, spec, on(name, key)) for name, m in self._members.items()}
        gather(self._pool.act(f"change-{colour}", (spec, key.epoch), calls))

    def remove(self, colour: Colour, key: ActionKey) -> None:
        calls = {name: partial(m.remove, colour, on(name, key)) for name, m in self._members.items()}
        gather(self._pool.act(f"change-{colour}", key.epoch, calls))

    def inspect(self, colour: Colour) -> Mapping[str, Facts]:
        return inspected(self._members, self._pool, colour)

    def usage(self, colour: Colour) -> Usage | None:
        """Of every host. One that cannot be asked hides all: half of the processes are not the whole."""
        able: dict[str, Any] = {name: m for name, m in self._members.items() if hasattr(m, "usage")}
        calls = {name: partial(m.usage, colour) for name, m in able.items()}
        given, unseen = apart(self._pool.look(f"usage-{colour}", calls))
        if unseen:
            raise Temporary(said(unseen))
        used = [one for one in given.values() if one is not None]
        if not used:
            return None
        return Usage(sum(u.cpu_seconds for u in used), sum(u.memory for u in used), sum(u.replicas for u in used))

    def output(self, colour: Colour, last: int, since: float = 0.0) -> Sequence[Line]:
        """Of every host that can be asked; of the others, a line that says why not."""
        able: dict[str, Any] = {name: m for name, m in self._members.items() if hasattr(m, "output")}
        calls = {name: partial(m.output, colour, last, since) for name, m in able.items()}
        given, unseen = apart(self._pool.look(f"output-{colour}", calls))
        lines = [replace(line, replica=f"{name}/{line.replica}") for name, own in given.items() for line in own]
        lines.sort(key=lambda line: line.at)
        return [*lines, *(Line(name, named(name, text)) for name, text in unseen.items())]

    def tidy(self) -> None:
        able: dict[str, Any] = {name: m for name, m in self._members.items() if hasattr(m, "tidy")}
        gather(self._pool.act("tidy", None, {name: m.tidy for name, m in able.items()}))


def on(name: str, key: ActionKey) -> ActionKey:
    """The action's name on this host."""
    return replace(key, target=f"{key.target}@{name}")


def inspected(members: Mapping[str, Any], pool: Pool, colour: Colour) -> dict[str, Facts]:
    """`app1/web`. Two colours are not alike as long as one host cannot be looked at."""
    calls = {name: partial(member.inspect, colour) for name, member in members.items()}
    given, unseen = apart(pool.look(f"inspect-{colour}", calls))
    if unseen:
        raise Temporary(said(unseen))
    return {f"{name}/{part}": facts for name, own in given.items() for part, facts in own.items()}


def together(colour: Colour, given: Mapping[str, EnvironmentStatus], unseen: Mapping[str, str]) -> EnvironmentStatus:
    """One status of all. What they do not agree on is not said, and `detail` names the hosts."""
    present = {name: status for name, status in given.items() if status.present}
    empty = [name for name, status in given.items() if not status.present or not status.members]
    roles = {status.role for status in present.values()}
    differ = len(roles - {None}) > 1 or (bool(present) and 0 < len(empty) < len(given))
    strange = _several({name: f"{s.version} ({s.release})" for name, s in present.items()})
    details = {name: status.detail for name, status in given.items()}
    if differ and not strange:
        details |= {name: details[name] or "does not run it yet" for name in empty}
    blind = {name: named(name, text) for name, text in unseen.items()}
    agreed = len(roles) == 1 and not differ and not strange and not unseen
    members = [replace(m, machine=name, endpoint=at(name, m.endpoint)) for name, s in given.items() for m in s.members]
    members += [Member("", 0, Health.UNKNOWN, routed=False, detail=text, machine=name) for name, text in blind.items()]
    return EnvironmentStatus(
        colour,
        release=_one(status.release for status in present.values()),
        version=_one(status.version for status in present.values()),
        role=_role(present.values()) if agreed else None,
        members=tuple(members),
        leftovers=tuple(sorted(replace(e, machine=name) for name, s in given.items() for e in s.leftovers)),
        failed=said({name: status.failed for name, status in given.items()}),
        detail="; ".join(text for text in (strange, said(details), *blind.values()) if text),
        unfinished=differ,
    )


def at(name: str, endpoint: Endpoint | None) -> Endpoint | None:
    return replace(endpoint, machine=name) if endpoint else None


def _role(statuses: Iterable[EnvironmentStatus]) -> Role | None:
    return next(iter(statuses)).role


def _one(values: Iterable[str | None]) -> str | None:
    """What all say; where hosts differ, a name that nothing has: whoever expects one of them must not take it for that."""
    known = sorted({value for value in values if value is not None})
    return " + ".join(known) if known else None


def _several(texts: Mapping[str, str]) -> str:
    return said({name: f"runs {text}" for name, text in texts.items()}) if len(set(texts.values())) > 1 else ""
