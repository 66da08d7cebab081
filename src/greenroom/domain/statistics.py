"""The tests behind `confidence`, from the standard library alone. What they are for stands in docs/decisions.

Every test is one-sided (is the candidate worse?) and gives a p-value: how often chance alone, in a candidate that is no
worse than it may be, shows as much as was seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

GROWTH = 1.5
"""By how much the data grow from one look to the next."""


def binomial_tail(least: int, n: int, p: float) -> float:
    """P(at least `least` of `n`), each with probability `p`: exact."""
    if least <= 0:
        return 1.0
    if least > n or p <= 0.0:
        return 0.0
    return 1.0 if p >= 1.0 else _beta(p, float(least), float(n - least + 1))


def more_often(
    bad: int, total: int, usual_bad: int, usual_total: int, ratio: float = 1.0, spread: float = 1.0
) -> float:
    """p-value of `bad` of `total` being more than `ratio` times as frequent as `usual_bad` of `usual_total`.

    Exact, given how many bad ones there were together: then the candidate's are binomial. With `spread` above 1 (they came
    in bunches) so many count as one, rounded in favour of the candidate.
    """
    if total <= 0 or usual_total <= 0 or bad <= 0:
        return 1.0
    ours = math.floor(bad / spread)
    theirs = math.ceil(usual_bad / spread)
    share = ratio * total / (ratio * total + usual_total)
    return binomial_tail(ours, ours + theirs, share)


def rank_sum(counts: Sequence[int], usual: Sequence[int], spread: float = 1.0) -> float:
    """p-value of the first sample being larger: Mann–Whitney's test on counts by bin (ascending), ties corrected.

    `spread`: the design effect of data that came in bunches (`design_effect`); the variance is that much larger.
    """
    n, m = sum(counts), sum(usual)
    if n == 0 or m == 0:
        return 1.0
    below, larger, ties = 0, 0.0, 0
    for ours, theirs in zip(counts, usual, strict=True):
        larger += ours * (below + theirs / 2)
        below += theirs
        ties += (ours + theirs) ** 3 - (ours + theirs)
    all_ = n + m
    variance = n * m / 12 * (all_ + 1 - ties / (all_ * (all_ - 1)))
    if variance <= 0:
        return 1.0
    z = (larger - n * m / 2 - 0.5) / math.sqrt(variance * spread)
    return normal_tail(z)


def normal_tail(z: float) -> float:
    """P(a standard normal value is above `z`)."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def design_effect(blocks: Sequence[tuple[int, float]], variance: float) -> float:
    """How much more the blocks' means differ than those of independent values would: at least 1.

    `blocks`: (how many values, their mean), in order of time; `variance`: of single values. Few blocks show it
    inexactly, so that the estimate has twice its own standard error added.
    """
    used = [(n, mean) for n, mean in blocks if n > 0]
    if len(used) < 2 or variance <= 0.0:
        return 1.0
    total = sum(n for n, _ in used)
    middle = sum(n * mean for n, mean in used) / total
    free = len(used) - 1
    between = sum(n * (mean - middle) ** 2 for n, mean in used) / free
    return max(1.0, between / variance * (1 + 2 * math.sqrt(2 / free)))


def spent(look: int) -> float:
    """The share of the whole allowance that the look with this number (from 1) may use: 1/2, 1/6, 1/12, …: together 1."""
    return 1.0 / (look * (look + 1))


def look_at(n: int, first: int) -> int:
    """The number of the last look that is due with `n` data, the first one being due with `first`; 0: none yet."""
    return 0 if n < first else 1 + math.floor(math.log(n / first) / math.log(GROWTH) + 1e-9)


def clopper_pearson(bad: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a share of which `bad` of `n` were seen."""
    tail = (1 - confidence) / 2
    low = 0.0 if bad == 0 else _where(lambda p: binomial_tail(bad, n, p) - tail)
    high = 1.0 if bad == n else _where(lambda p: tail - (1 - binomial_tail(bad + 1, n, p)))
    return low, high


def _where(rising: Callable[[float], float]) -> float:
    """The zero of a rising function on 0 to 1."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction."""
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if logarithm < -740:  # the nearer tail is nothing
        return 0.0 if x < a / (a + b) else 1.0
    front = math.exp(logarithm)
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1.0 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1.0 / _away(1 - (a + b) * x / (a + 1), tiny)
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / _away(1 + even * d, tiny)
        c = _away(1 + even / c, tiny)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1.0 / _away(1 + odd * d, tiny)
        c = _away(1 + odd / c, tiny)
        value *= d * c
        if abs(d * c - 1) < 1e-12:
            break
    return value


def _away(value: float, tiny: float) -> float:
    return tiny if abs(value) < tiny else value
