"""An environment or router that says what a colour really runs with, as a test tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from greenroom.domain.model import Colour
from greenroom.errors import PortError
from greenroom.ports import Capability, Facts


def alike(**facts: str) -> Facts:
    """In force as asked for. `env__MODE` is the path `env.MODE`."""
    stated = {name.replace("__", "."): value for name, value in facts.items()}
    return Facts(stated, stated)


@dataclass
class Telling:
    """`failing`: raised instead of an answer. `looks`: how often each colour was asked about."""

    blue: Mapping[str, Facts] = field(default_factory=dict)
    green: Mapping[str, Facts] = field(default_factory=dict)
    failing: PortError | None = None
    looks: dict[Colour, int] = field(default_factory=lambda: dict.fromkeys(Colour, 0))

    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.PARITY})

    def inspect(self, colour: Colour) -> Mapping[str, Facts]:
        self.looks[colour] += 1
        if self.failing is not None:
            raise self.failing
        return self.blue if colour is Colour.BLUE else self.green


class Silent:
    """One that cannot say."""

    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def inspect(self, colour: Colour) -> Any:
        raise AssertionError("nobody asks what cannot say")
