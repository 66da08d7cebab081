"""What a release consists of, made on every host: the same on all of them, or it is no release."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from greenroom.adapters.several.answers import apart, gather, said
from greenroom.adapters.several.environment import on
from greenroom.adapters.several.side_by_side import Pool, SideBySide
from greenroom.domain.model import ArtefactSpec, ArtefactStatus, Making
from greenroom.errors import Temporary
from greenroom.ports import ActionKey, Artefact


class SeveralArtefacts:
    def __init__(self, members: Mapping[str, Artefact], pool: Pool | None = None) -> None:
        self._members, self._pool = dict(members), pool or SideBySide()

    def observe(self, spec: ArtefactSpec) -> ArtefactStatus:
        calls = {name: partial(member.observe, spec) for name, member in self._members.items()}
        given, unseen = apart(self._pool.look(f"observe-{spec.release}", calls))
        if not given:
            raise Temporary(said(unseen))
        return together(spec, given, unseen)

    def apply(self, spec: ArtefactSpec, key: ActionKey) -> None:
        calls = {name: partial(member.apply, spec, on(name, key)) for name, member in self._members.items()}
        gather(self._pool.act("change", spec, calls))

    def remove(self, release: str, key: ActionKey) -> None:
        calls = {name: partial(member.remove, release, on(name, key)) for name, member in self._members.items()}
        gather(self._pool.act("change", release, calls))


def together(spec: ArtefactSpec, given: Mapping[str, ArtefactStatus], unseen: Mapping[str, str]) -> ArtefactStatus:
    """READY with one reference on every host, FAILED where that can never be. A host that cannot be seen makes it yet."""
    failed = {name: status.detail for name, status in given.items() if status.state is Making.FAILED}
    if failed:
        return ArtefactStatus(Making.FAILED, detail=said(failed))
    made = {name: status.reference for name, status in given.items() if status.state is Making.READY}
    if len(set(made.values())) > 1:
        what = said({name: f"has {reference}" for name, reference in made.items()})
        hint = "its name was given to another one meanwhile: deploy it again"
        return ArtefactStatus(Making.FAILED, detail=f"{spec.version} is not the same on every host: {what}; {hint}")
    if len(made) == len(given) and not unseen:
        return ArtefactStatus(Making.READY, next(iter(made.values())))
    absent = any(status.state is Making.ABSENT for status in given.values())
    waiting = {name: status.detail for name, status in given.items() if status.state is Making.MAKING}
    return ArtefactStatus(Making.ABSENT if absent else Making.MAKING, detail=said({**waiting, **unseen}))
