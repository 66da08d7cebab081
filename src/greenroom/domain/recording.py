"""What was measured in a release, tried with other rules: when and why would they have gone back?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from greenroom.domain.assess import judge
from greenroom.domain.figures import Measurement
from greenroom.domain.history import History
from greenroom.domain.model import Colour, Verdict
from greenroom.domain.plan import Rule
from greenroom.domain.view import Standard


@dataclass(frozen=True, slots=True)
class Sample:
    """A measurement, taken `at` (seconds since 1970). `share`: the candidate's of users' traffic, in percent; None: not
    seen.
    """

    at: float
    share: float | None
    measurement: Measurement


@dataclass(frozen=True, slots=True)
class Replayed:
    """What rules come to on the samples of a release.

    FAIL: they would have gone back, `after` seconds from the candidate's first share of the traffic, with `share` percent
    of it. PASS: they would not have, in all of that time. UNKNOWN: nothing was kept of its traffic.
    """

    verdict: Verdict
    after: float = 0.0
    share: float = 0.0
    reason: str = ""
    evidence: tuple[str, ...] = ()


def replayed(rules: Sequence[Rule], samples: Sequence[Sample], candidate: Colour, *, baseline: bool = True) -> Replayed:
    """The samples in order of time, looked at one after the other as the engine would have. `baseline`: there was one.

    Rules that ask a source of their own are left out: what it said is not kept.
    """
    history, begun, since = History(), None, 0.0
    share: float | None = None
    for index, one in enumerate(samples):
        history = history.add(one.measurement)
        if one.share is None:
            continue
        if one.share != share:
            share, since = one.share, one.at
        if not share:
            continue
        begun = one.at if begun is None else begun
        standard = Standard(candidate.other, share < 100, one.at - since) if baseline else None
        found = judge(rules, history, candidate, standard, final=_ends(samples, index))
        if found.verdict is Verdict.FAIL:
            return Replayed(Verdict.FAIL, one.at - begun, share, found.reason, found.evidence)
    if begun is None:
        return Replayed(Verdict.UNKNOWN, reason="nothing was kept of its traffic")
    return Replayed(Verdict.PASS, samples[-1].at - begun, max(s.share or 0.0 for s in samples))


def _ends(samples: Sequence[Sample], index: int) -> bool:
    """The candidate's share was another one in the next sample, or there is none."""
    following = next((s for s in samples[index + 1 :] if s.share is not None), None)
    return following is None or following.share != samples[index].share
