"""Four kinds of bad release, and good ones, under 200 requests a second: how long until it goes back, and how many errors?

Each run is one release by the command line, all traffic at once. The shop passes its check, then it is in a mood: all
its answers fail, one in twenty does, all are five times as slow, or its process dies two seconds after its first visitor,
again and again. Counted by the client: bad answers (failed, lost, or slow by the fault), the time from the first of them
to the last; by the journal: when the way back began. Good releases have the same noisy latency, and none may be accused.

Beside it, what others do on the same traffic by their documented rules: simulated on the recorded series, not run.
"""

from __future__ import annotations

import math
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.common import Goal, Result, expect, log_path, main, plain, spread, staged
from bench.field import TOOLS, Series
from greenroom.demo.log import Log, Request, read
from greenroom.demo.stage import Stage
from greenroom.demo.table import columns, quantile
from greenroom.demo.traffic import Traffic
from greenroom.domain.assess import SURE
from greenroom.wiring import reopen
from tests.rigs import moods

RATE = 200
RUNS = 30
ALLOWED, CONFIDENCE, RATIO = 0.01, 0.999, 2.0

ANALYSIS = f"""
keep_failed: 0s
analysis:
  - {{metric: error_rate, max: {ALLOWED:.0%}}}
  - {{metric: error_rate, compare: {{max_ratio: {RATIO}, confidence: {CONFIDENCE:.1%}}}}}
  - {{metric: p50, compare: {{max_ratio: {RATIO}, confidence: {CONFIDENCE:.1%}}}}}
  - {{metric: p99, compare: {{max_ratio: {RATIO}, confidence: {CONFIDENCE:.1%}}}}}
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """`limit`: seconds from the first bad answer to the last, at most. `failing`: the share that truly fails then; what
    is counted until the verdict says more than that, because the verdict waits for just this.
    """

    name: str
    mood: str
    limit: float
    failing: float = 0.0


SLOW = Kind("5 times as slow", "slow", 10.0)
KINDS = (
    Kind("all answers fail", "fails", 1.5, 1.0),
    Kind("5 % of the answers fail", "some", 6.0, 0.05),
    SLOW,
    Kind("crash loop", "crash 2", 3.0, 1.0),
)
GOOD = Kind("good", "good", 0.0)


@dataclass(frozen=True, slots=True)
class Run:
    """One release. `turned`: when the way back began, None if it did not; seconds since 1970, and so `unix` + `at`."""

    kind: Kind
    version: str
    began: float
    ended: float
    turned: float | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What its users met. `to_verdict`, `to_last`: seconds from the first bad answer. `met`: requests until the verdict."""

    bad: tuple[Request, ...]
    to_verdict: float
    to_last: float
    met: int
    least: float
    series: Series


def run(quick: bool) -> Result:
    runs, log = 2 if quick else RUNS, log_path("rollback")
    with staged("rollback", {"bake": "1s"}) as stage:
        _prepare(stage)
        expect(stage.run("deploy", "1"), 0)
        stage.set(bake="15s")
        with Traffic(stage.url, log, rate=RATE, seconds=min(3600.0, 300.0 * runs)) as traffic:
            traffic.wait_for(lambda r: r.good)
            done = [_release(stage, kind, n) for n in range(runs) for kind in (*KINDS, GOOD)]
    return _result(read(log), done, runs)


def _prepare(stage: Stage) -> None:
    """The check sees nothing of a mood."""
    text = stage.file.read_text()
    assert "{type: http, path: /," in text
    text = text.replace("{type: http, path: /,", f"{{type: http, path: /, headers: {{{moods.CHECK}: mine}},")
    stage.file.write_text(text + ANALYSIS)
    moods.install(stage.shop, GOOD.mood)


def _release(stage: Stage, kind: Kind, number: int) -> Run:
    version = f"{kind.mood.split()[0]}-{number}"
    moods.install(stage.shop, kind.mood)
    done = stage.run("deploy", version)
    if done.code != 3:
        expect(done, 0)
    release = reopen("shop", stage.file, Path(stage.shop) / ".greenroom").control.state().release
    assert release is not None
    assert release.version == version
    if kind is not GOOD and done.code == 0:  # it was not found
        expect(stage.run("rollback"), 0)
        return Run(kind, version, done.began, done.ended, None)
    return Run(kind, version, done.began, done.ended, release.turned)


def _seen(log: Log, run: Run, usual: float) -> Seen:
    """`usual`: the median of the good version's times to answer, in seconds."""
    assert run.turned is not None
    within = [r for r in log.requests if run.began <= r.at <= run.ended]
    own = [r for r in within if r.version == run.version or r.lost]
    bad = [r for r in own if not r.good or run.kind is SLOW]
    first = min((r.answered for r in bad), default=math.nan)
    turned = run.turned - log.unix
    met = [r for r in own if r.answered >= first and r.at <= turned] or bad
    slow, slower = (sum(r.took > limit for r in met) / len(met) for limit in (0.5, RATIO * usual))
    failing, is_slow = run.kind.failing, run.kind is SLOW
    least = least_requests(slower, 0.5, 1 - CONFIDENCE) if is_slow else least_requests(failing, ALLOWED, SURE)
    series = Series(RATE, failing, slow, 1.0 if is_slow else failing)
    last = max(r.answered for r in bad)
    return Seen(tuple(bad), turned - first, last - first, len(met), least, series)


def least_requests(share: float, allowed: float, error: float) -> float:
    """No test that accuses a version at its limit with this probability or less finds this one with fewer on average.

    Wald's bound: ln(1 / error) by the divergence of the share that is bad from the one that is allowed.
    """
    if share <= allowed:
        return math.inf
    rest = (1 - share) * math.log((1 - share) / (1 - allowed)) if share < 1 else 0.0
    return math.log(1 / error) / (share * math.log(share / allowed) + rest)


def _result(log: Log, done: Sequence[Run], runs: int) -> Result:
    good = {"1", *(run.version for run in done if run.kind is GOOD)}
    usual = quantile([r.took for r in log.requests if r.version in good and r.good], 0.5)
    seen = {kind: [_seen(log, run, usual) for run in done if run.kind is kind and run.turned] for kind in KINDS}
    theirs = {id(r) for found in seen.values() for one in found for r in one.bad}
    lost = sum(r.lost and id(r) not in theirs for r in log.requests)
    wrong = sum(r.bad and r.version in good for r in log.requests)
    alarms = sum(run.turned is not None for run in done if run.kind is GOOD)
    goals = [
        *(Goal(f"{k.name}: last bad answer after the first, most", _most(seen[k]), k.limit, "s") for k in KINDS),
        *(Goal(f"{k.name}: found, of {runs}", len(seen[k]), runs, least=True) for k in KINDS),
        Goal("lost requests, but for those of a candidate that died", lost, 0),
        Goal("bad answers by good releases", wrong, 0),
        Goal(f"good releases accused, of {runs}", alarms, 0),
    ]  # fmt: skip
    text = "\n".join([
        f"{runs} releases of each kind under {RATE} requests/s, {len(log.requests)} requests;",
        f"{runs} good ones, {alarms} of them accused.",
        "",
        _table(seen),
        "",
        f"Requests until the verdict, beside the least that any test needs which is as sure (false alarm {SURE:g}",
        f"for errors, {1 - CONFIDENCE:.1g} for the comparison of p50) and looks at each answer as it comes;",
        "many looks add up to more than that, so that luck may need fewer. The comparison of p50 knows the version before",
        "from the few seconds only that a start takes here; where checks take longer, it is sooner sure:",
        "",
        _beside_the_least(seen),
        "",
        "Others on the same traffic, simulated by their documented rules, as if it had gone on as recorded (medians):",
        "",
        _others(seen),
    ])  # fmt: skip
    return Result("rollback", goals, text, {"runs": runs, "rate": RATE, **_data(seen), "accused": alarms})


def _most(found: Sequence[Seen]) -> float:
    return max((one.to_last for one in found), default=math.inf)


def _table(seen: dict[Kind, list[Seen]]) -> str:
    head = ["", "", "least", "median", "p90", "most"]
    body = []
    for kind, found in seen.items():
        if not found:
            body.append([kind.name, "never found", *["—"] * 4])
            continue
        body.append([kind.name, "first bad answer to verdict, s", *spread([s.to_verdict for s in found])])
        body.append(["", "first bad answer to last, s", *spread([s.to_last for s in found])])
        body.append(["", "bad answers", *spread([len(s.bad) for s in found])])
    return columns(head, body, left=2)


def _beside_the_least(seen: dict[Kind, list[Seen]]) -> str:
    body = []
    for kind, found in seen.items():
        if not found:
            continue
        met, least = statistics.mean(s.met for s in found), statistics.mean(s.least for s in found)
        body.append([kind.name, plain(met), plain(least) if math.isfinite(least) else "—", f"{met / least:.1f}"])
    return columns(["", "requests, mean", "least", "ratio"], body)


def _others(seen: dict[Kind, list[Seen]]) -> str:
    body = []
    for kind, found in seen.items():
        if not found:
            continue
        times, bad = quantile([s.to_last for s in found], 0.5), quantile([len(s.bad) for s in found], 0.5)
        body.append([kind.name, "Greenroom (measured)", f"{len(found)} of {len(found)}", plain(times), plain(bad)])
        for tool in TOOLS:
            ends = [tool.found(one.series, random.Random(n)) for n, one in enumerate(found)]
            known = [end for end in ends if end is not None]
            middle = [plain(quantile([end[i] for end in known], 0.5)) if known else "—" for i in (0, 1)]
            body.append(["", tool.name, f"{len(known)} of {len(found)}", *middle])
    return columns(["", "", "found", "after, s", "bad answers"], body, left=2)


def _data(seen: dict[Kind, list[Seen]]) -> dict[str, object]:
    return {
        kind.name: [
            {
                "bad": len(s.bad),
                "to_verdict": round(s.to_verdict, 3),
                "to_last": round(s.to_last, 3),
                "requests": s.met,
                "least": round(s.least, 1) if math.isfinite(s.least) else None,
                "over_500_ms": round(s.series.over_half_a_second, 4),
            }
            for s in found
        ]
        for kind, found in seen.items()
    }


if __name__ == "__main__":
    sys.exit(main(run))
