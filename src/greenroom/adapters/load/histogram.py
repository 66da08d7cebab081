"""Times in bins that grow by half a percent: quantiles of millions of requests in a few kilobytes."""

from __future__ import annotations

import math
from typing import Any

_LEAST, _MOST = 1e-6, 7200.0
_BINS_A_FOLD = 1 / math.log(1.005)
_BINS = int(math.log(_MOST / _LEAST) * _BINS_A_FOLD) + 2

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


class Histogram:
    """Seconds. Exact are the number, the sum and the longest; quantiles to half a percent."""

    __slots__ = ("_bins", "count", "most", "total")

    def __init__(self) -> None:
        self._bins = [0] * _BINS
        self.count = 0
        self.total = 0.0
        self.most = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        if seconds > _LEAST:
            self.total += seconds
            if seconds > self.most:
                self.most = seconds
            self._bins[min(_BINS - 1, int(math.log(seconds / _LEAST) * _BINS_A_FOLD) + 1)] += 1
        else:
            self._bins[0] += 1

    def quantile(self, share: float, of: int = 0) -> float:
        """What `share` of all do not exceed (nearest rank). `of`: how many they are, if more than were added: the others
        count as 0."""
        everything = max(of, self.count)
        rank = math.ceil(share * everything - 1e-9) - (everything - self.count)
        if rank <= 0:
            return 0.0
        for number, count in enumerate(self._bins):
            rank -= count
            if rank <= 0:
                return min(self.most, _LEAST * math.exp((number - 0.5) / _BINS_A_FOLD)) if number else 0.0
        return self.most

    def summary(self, of: int = 0) -> dict[str, Any]:
        found = {name: round(self.quantile(share, of), 7) for name, share in QUANTILES.items()}
        mean = self.total / self.count if self.count else 0.0
        return {**found, "max": round(self.most, 7), "mean": round(mean, 7)}
