"""What may be done to the world, as values; and what a decision is.

Every action asks for a state, so it may be repeated. An action that is decided again although it was done (the world
has not followed yet) is repeated by the engine at growing intervals, and not written into the journal again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from greenroom.domain.model import ArtefactSpec, Colour, Document, EnvironmentSpec, RoutingSpec
from greenroom.domain.records import Judged, Moved


@dataclass(frozen=True, slots=True)
class Make:
    """Begin to make the artefact."""

    spec: ArtefactSpec
    verb: ClassVar[str] = "make"

    @property
    def target(self) -> str:
        return self.spec.release


@dataclass(frozen=True, slots=True)
class Apply:
    """Let an environment run this."""

    colour: Colour
    spec: EnvironmentSpec
    verb: ClassVar[str] = "apply"

    @property
    def target(self) -> str:
        sweep = "+sweep" if self.spec.sweep else ""
        return f"{self.colour}:{self.spec.release}:{self.spec.role}{sweep}"


@dataclass(frozen=True, slots=True)
class Remove:
    """Stop an environment. Decided only after the router was seen not to use it.

    For this and for `Apply` the engine looks anew at everything and decides again before it acts.
    """

    colour: Colour
    verb: ClassVar[str] = "remove"

    @property
    def target(self) -> str:
        return str(self.colour)


@dataclass(frozen=True, slots=True)
class Route:
    """Tell the router the whole of what it shall do."""

    spec: RoutingSpec
    verb: ClassVar[str] = "route"

    @property
    def target(self) -> str:
        split = self.spec.split
        return f"{split.blue}-{split.green}" + (f"+test-{self.spec.test}" if self.spec.test else "")


@dataclass(frozen=True, slots=True)
class Unroute:
    """Stop the router on purpose."""

    verb: ClassVar[str] = "unroute"
    target: ClassVar[str] = "router"


@dataclass(frozen=True, slots=True)
class _Asked:
    """About a check (or, with `gate`, a gate); `memo` is what it gave us the last time."""

    check: str
    memo: Document | None
    gate: bool = False

    @property
    def target(self) -> str:
        return f"gate:{self.check}" if self.gate else self.check

    @property
    def subject(self) -> str:
        """What its answer is called in the journal."""
        return f"{'gate' if self.gate else 'check'}:{self.check}"


@dataclass(frozen=True, slots=True)
class Ask(_Asked):
    """Ask it about the candidate.

    The engine writes the answer as `Judged(release, subject, verdict, reason, memo)`, only when it changed, and does not
    ask again before the answer's `again_after` has passed.
    """

    verb: ClassVar[str] = "ask"


@dataclass(frozen=True, slots=True)
class Withdraw(_Asked):
    """End what it has begun; it will not be asked about that again."""

    verb: ClassVar[str] = "withdraw"


Action: TypeAlias = Make | Apply | Remove | Route | Unroute | Ask | Withdraw


@dataclass(frozen=True, slots=True)
class Do:
    """Act, then look again. `why` is the sentence that a person reads."""

    action: Action
    why: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do now. `until`: a time on the journal's clock when it is worth looking in any case, or None."""

    why: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Enter a phase (or the next step)."""

    record: Moved

    @property
    def why(self) -> str:
        return self.record.why


@dataclass(frozen=True, slots=True)
class Note:
    """Write down what was seen or judged; decide again."""

    record: Judged

    @property
    def why(self) -> str:
        return self.record.reason


Decision: TypeAlias = Do | Wait | Move | Note
