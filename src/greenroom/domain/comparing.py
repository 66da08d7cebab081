"""Is the candidate worse than the baseline, and how sure is that?

Two questions are asked, each with half of what the rule's `confidence` leaves to chance:

- Is it worse since it has its present share? Asked whenever its requests have grown by half.
- Is it worse just now? Asked every 5 seconds, of the last 10.

Each look may use `statistics.spent` of it, so that all looks of a release together raise a false alarm no more often than
`1 - confidence`. A look is at a sample that was taken then, and not at what came since: to look more often is no new chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import mul
from typing import TypeAlias

from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.history import FIRST_LOOK, History, quantile, slower_than
from greenroom.domain.model import Colour
from greenroom.domain.plan import Rule
from greenroom.domain.statistics import design_effect, look_at, more_often, rank_sum, spent
from greenroom.domain.view import View, Window
from greenroom.domain.wording import errors_of, name, percent, sure, value

Blocks: TypeAlias = Sequence[Figures]

RECENT, EVERY = 10.0, 5.0
"""Seconds: of the window that shows what began just now, and from one look at it to the next."""

FRESH = 3.0
"""Seconds within which a sample is looked at; later, everything that it says was judged before."""

FEWEST = 4
"""Blocks of a second or more without which nobody can say whether requests fail one by one or in bunches."""


def worse(rule: Rule, history: History, colour: Colour, view: View) -> str:
    """Why the candidate is worse than the baseline, and how sure that is; "" if it cannot be said."""
    assert rule.confidence is not None
    for end, seconds, share in _looks(rule, history, colour):
        pair = view.pair(rule, end, seconds)
        if pair is None:
            continue
        ours, usual = pair
        if min(ours.figures.requests, usual.figures.requests) < rule.min_requests:
            continue
        if _chance(rule, ours.figures, usual.figures, 1.0) / share > 1 - rule.confidence:
            continue  # nor would it be enough if the requests came in bunches
        blocks = view.blocks(ours), view.blocks(usual)
        if len(blocks[0]) < FEWEST:
            continue
        p = _chance(rule, ours.figures, usual.figures, _spread(rule, ours.figures, usual.figures, blocks)) / share
        if p <= 1 - rule.confidence:
            return _reason(rule, ours, usual, p, beside=view.beside)
    return ""


def _looks(rule: Rule, history: History, colour: Colour) -> Iterator[tuple[Measurement, float | None, float]]:
    """(sample, seconds before it, share of the allowance) of those that are due now."""
    if not history.samples or colour not in history.first:
        return
    now = history.samples[-1].at
    mark = history.marks.get(colour)
    if mark is not None and now - mark.sample.at <= FRESH:
        number = mark.look - max(0, look_at(rule.min_requests - 1, FIRST_LOOK))
        if number >= 1:
            yield mark.sample, None, spent(number) / 2
    for before, sample in reversed(list(pairwise(history.samples))):
        if now - sample.at > FRESH:
            break
        number = int(sample.at // EVERY) - int(history.first[colour] // EVERY)
        if sample.at // EVERY > before.at // EVERY and number >= 1:
            yield sample, RECENT, spent(number) / 2
            break


def _chance(rule: Rule, ours: Figures, usual: Figures, spread: float) -> float:
    """How often chance alone shows as much, in a candidate that is as the rule allows."""
    if rule.metric == "error_rate":
        ratio = rule.max_ratio or 1.0
        return more_often(ours.errors, ours.requests, usual.errors, usual.requests, ratio, spread)
    if rule.metric == "p50":
        return rank_sum(*_both_binned(rule, ours, usual), spread)
    limits = _limits(rule, usual)
    if limits is None:
        return 1.0
    return more_often(*slower_than(ours, limits[0]), *slower_than(usual, limits[1]), 1.0, spread)


def _spread(rule: Rule, ours: Figures, usual: Figures, blocks: tuple[Blocks, Blocks]) -> float:
    """By how much the requests came in bunches: of the two colours, the worse."""
    if rule.metric == "error_rate":
        return max(_bunched([(b.errors, b.requests) for b in each]) for each in blocks)
    if rule.metric != "p50":
        limits = _limits(rule, usual) or (0.0, 0.0)
        return max(_bunched([slower_than(b, at) for b in each]) for each, at in zip(blocks, limits, strict=True))
    bounds = [bound for bound, _ in ours.latency]
    together = [a + b for a, b in zip(*_both_binned(rule, ours, usual), strict=True)]
    scores = _scores(together)
    variance = sum(n * (score - 0.5) ** 2 for n, score in zip(together, scores, strict=True)) / sum(together)
    found = 1.0
    for each, ratio in zip(blocks, (1.0, rule.max_ratio or 1.0), strict=True):
        counted = [_binned(block, bounds, ratio) for block in each]
        means = [(n, sum(map(mul, counts, scores)) / n) for counts in counted if (n := sum(counts))]
        found = max(found, design_effect(means, variance))
    return found


def _limits(rule: Rule, usual: Figures) -> tuple[float, float] | None:
    """Slower than what is bad: for the candidate, and for the baseline itself."""
    found = quantile(usual, int(rule.metric[1:]) / 100)
    return None if found is None else ((rule.max_ratio or 1.0) * found, found)


def _bunched(blocks: Sequence[tuple[int, int]]) -> float:
    """The design effect of (bad, all) by block."""
    bad, total = (sum(column) for column in zip(*blocks, strict=True)) if blocks else (0, 0)
    if not total:
        return 1.0
    share = bad / total
    return design_effect([(n, k / n) for k, n in blocks if n], share * (1 - share))


def _scores(counts: Sequence[int]) -> list[float]:
    """Of each bin, the middle rank of its values, as a share of all."""
    total, below, scores = max(1, sum(counts)), 0, []
    for n in counts:
        scores.append((below + n / 2) / total)
        below += n
    return scores


def _both_binned(rule: Rule, ours: Figures, usual: Figures) -> tuple[list[int], list[int]]:
    bounds = [bound for bound, _ in ours.latency]
    return _binned(ours, bounds), _binned(usual, bounds, rule.max_ratio or 1.0)


def _binned(figures: Figures, bounds: Sequence[float], ratio: float = 1.0) -> list[int]:
    """How many were in each bin. Times `ratio`, a bin belongs where its slowest would be: in favour of the candidate."""
    counts, below, place = [0] * len(bounds), 0, 0
    for bound, n in figures.latency:
        while place < len(bounds) - 1 and bounds[place] < bound * ratio:
            place += 1
        if bounds:
            counts[place] += n - below
        below = n
    return counts


def _reason(rule: Rule, ours: Window, usual: Window, p: float, *, beside: bool) -> str:
    when = "over the same time" if beside else "before the switch"
    ratio = f"{rule.max_ratio:g} × " if rule.max_ratio and rule.max_ratio != 1 else ""
    verb = "worse" if rule.metric == "error_rate" else "slower"
    return (
        f"{name(rule.metric)} {_figure(rule, ours.figures)} over {ours.seconds:.3g} s, "
        f"baseline {_figure(rule, usual.figures)} {when}: {verb} than {ratio}the baseline, sure to {sure(p)}"
    )


def _figure(rule: Rule, figures: Figures) -> str:
    if rule.metric == "error_rate":
        return f"{percent(figures.errors / figures.requests)} ({errors_of(figures)})"
    found = quantile(figures, int(rule.metric[1:]) / 100)
    return f"{value(rule.metric, found or 0.0)} of {figures.requests} requests"
