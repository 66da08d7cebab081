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

from greenroom.domain.figures import Figures, Measurement
from greenroom.domain.history import FIRST_LOOK, History, quantile, slower_than
from greenroom.domain.model import Colour
from greenroom.domain.plan import Rule
from greenroom.domain.statistics import design_effect, look_at, more_often, rank_sum, spent
from greenroom.domain.view import View, Window
from greenroom.domain.wording import errors_of, name, percent, sure, value

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
        if min(ours.figures.requests, usual.figures.requests) < rule.min_requests or len(ours.blocks) < FEWEST:
            continue
        p = _chance(rule, ours, usual) / share
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


def _chance(rule: Rule, ours: Window, usual: Window) -> float:
    """How often chance alone shows as much, in a candidate that is as the rule allows."""
    ratio = rule.max_ratio or 1.0
    if rule.metric == "error_rate":
        spread = max(_bunched([(b.errors, b.requests) for b in w.blocks]) for w in (ours, usual))
        us, them = ours.figures, usual.figures
        return more_often(us.errors, us.requests, them.errors, them.requests, ratio, spread)
    if rule.metric == "p50":
        return _slower(ours, usual, ratio)
    limit = quantile(usual.figures, int(rule.metric[1:]) / 100)
    if limit is None:
        return 1.0
    limits = (ratio * limit, limit)
    spread = max(_bunched([slower_than(b, at) for b in w.blocks]) for w, at in zip((ours, usual), limits, strict=True))
    return more_often(*slower_than(ours.figures, limits[0]), *slower_than(usual.figures, limits[1]), 1.0, spread)


def _bunched(blocks: Sequence[tuple[int, int]]) -> float:
    """The design effect of (bad, all) by block."""
    bad, total = (sum(column) for column in zip(*blocks, strict=True)) if blocks else (0, 0)
    if not total:
        return 1.0
    share = bad / total
    return design_effect([(n, k / n) for k, n in blocks if n], share * (1 - share))


def _slower(ours: Window, usual: Window, ratio: float) -> float:
    """p-value of the whole distribution being slower than `ratio` times the baseline's."""
    bounds = [bound for bound, _ in ours.figures.latency]
    us, them = _binned(ours.figures, bounds), _binned(usual.figures, bounds, ratio)
    both = [a + b for a, b in zip(us, them, strict=True)]
    total = sum(both)
    if not total:
        return 1.0
    scores, below = [], 0
    for n in both:
        scores.append((below + n / 2) / total)
        below += n
    variance = sum(n * (score - 0.5) ** 2 for n, score in zip(both, scores, strict=True)) / total
    spread = 1.0
    for window, times in ((ours, 1.0), (usual, ratio)):
        means = []
        for block in window.blocks:
            counts = _binned(block, bounds, times)
            if n := sum(counts):
                means.append((n, sum(c * score for c, score in zip(counts, scores, strict=True)) / n))
        spread = max(spread, design_effect(means, variance))
    return rank_sum(us, them, spread)


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
