"""When requests are due. The moments are known beforehand: an answer that is late makes no later request late."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stretch:
    """`seconds` in which the rate goes evenly from `begin` to `end` requests a second."""

    begin: float
    end: float
    seconds: float

    @property
    def requests(self) -> float:
        return (self.begin + self.end) / 2 * self.seconds

    def moment(self, number: float) -> float:
        """When, from the beginning of the stretch on, so many requests have become due."""
        slope = (self.end - self.begin) / self.seconds
        root = math.sqrt(max(0.0, self.begin**2 + 2 * slope * number))
        return 2 * number / (self.begin + root) if number > 0 else 0.0


class Schedule:
    def __init__(self, stretches: Sequence[Stretch]) -> None:
        self.stretches = tuple(stretch for stretch in stretches if stretch.seconds > 0)
        self.seconds = sum(stretch.seconds for stretch in self.stretches)
        self.requests = math.ceil(sum(stretch.requests for stretch in self.stretches) - 1e-6)

    def rate(self, at: float) -> float:
        """Requests a second at this moment; 0 after the end."""
        for stretch in self.stretches:
            if at < stretch.seconds:
                return stretch.begin + (stretch.end - stretch.begin) * max(0.0, at) / stretch.seconds
            at -= stretch.seconds
        return 0.0

    def moments(self) -> Iterator[float]:
        """When each request is due, in seconds from the beginning; ascending, `requests` of them."""
        began, before, number = 0.0, 0.0, 0
        for stretch in self.stretches:
            here = stretch.requests
            while number < self.requests and number - before < here - 1e-6:
                yield began + stretch.moment(max(0.0, number - before))
                number += 1
            began, before = began + stretch.seconds, before + here
