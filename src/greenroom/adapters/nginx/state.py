"""A state: where users and tests go, as the name of a folder to which the symbolic link `live` leads.

    live -> states/1795286498052-1b4b29f8d3caa23e-g005-tgreen/{users,test,lost}

nginx asks where the link leads at each request, when it sends it on, so that to replace the link is to switch. The
folder holds an empty one for each of those who are let in at all: to look whether it is there costs nginx little.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from greenroom.adapters.hosts.fenced import Command
from greenroom.domain.model import Colour, RoutingSpec, Split

LIVE, STATES = "live", "states"
OFF = "off"
"""The state in which nothing of ours is routed."""
USERS, TEST, ANY = "users", "test", "lost"
"""Who asks. `ANY`: is let in by every state: a request that is lost on purpose."""

_NAME = re.compile(
    r"(?P<revision>[0-9]+-[0-9a-f]+)-g(?P<share>\d{3}|none)-t(?P<test>blue|green|none)(-f(?P<first>blue|green))?"
)


@dataclass(frozen=True, slots=True)
class State:
    """`first`: where those go who go first, None while there are none."""

    revision: str
    split: Split
    test: Colour | None
    first: Colour | None = None

    @property
    def name(self) -> str:
        share = f"{self.split.green:03d}" if self.split != Split.none() else "none"
        return f"{self.revision}-g{share}-t{self.test or 'none'}{f'-f{self.first}' if self.first else ''}"

    @classmethod
    def of(cls, spec: RoutingSpec, revision: str) -> State:
        routed = spec.split != Split.none()
        return cls(revision, spec.split, spec.test, spec.first.colour if spec.first and routed else None)

    @classmethod
    def read(cls, name: str) -> State | None:
        """None for what is not a name of ours."""
        match = _NAME.fullmatch(name)
        if match is None or (match["share"] != "none" and int(match["share"]) > 100):
            return None
        split = Split.none() if match["share"] == "none" else Split.share(Colour.GREEN, int(match["share"]))
        first = Colour(match["first"]) if match["first"] else None
        return cls(match["revision"], split, None if match["test"] == "none" else Colour(match["test"]), first)


def pattern(share: str, test: str, first: bool = False) -> str:
    """Of where the link leads, for nginx: with parts of a name. `first`: some may go first."""
    return rf"~-g{share}-t{test}{'(?:-f[a-z]+)?' if first else ''}$"


def made(name: str) -> Command:
    """The folder of the state with this name, as nginx's workers may see it."""
    state = State.read(name)
    let_in = [ANY]
    if state is not None:
        let_in += [USERS] if state.split != Split.none() else []
        let_in += [TEST] if state.test else []
    folder = f"{STATES}/{name}"
    return Command(("mkdir", "-p", "-m", "755", folder, *(f"{folder}/{who}" for who in let_in)))
