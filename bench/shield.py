"""A candidate that fails every answer once users reach it, under 200 requests a second, with the shield: what do users see?

Each run is one release of a shop that is healthy, passes its check, and then fails; half of them at once to all users,
half to 5 % of them first. Nine of ten requests are GETs, which the shield asks again of the baseline; the others are orders,
POSTs without an `Idempotency-Key`, which it leaves alone. Counted by the client: bad and lost answers; and how long each
release took until it was taken back all the same. A few releases without the shield show what it is compared with.
"""

from __future__ import annotations

import sys

from bench.common import Goal, Result, expect, log_path, main, spread, staged
from greenroom.demo.log import Request, read
from greenroom.demo.stage import Stage, break_release
from greenroom.demo.table import columns
from greenroom.demo.traffic import Traffic

RATE = 200
RUNS = 30
STEPS = ("[100%]", "[5% for 30s, 100%]")
"""In turn."""


def run(quick: bool) -> Result:
    runs, bare = (4, 2) if quick else (RUNS, 6)
    with staged("shield", {"bake": "1s"}) as stage:
        stage.file.write_text(stage.file.read_text() + "shift: [100%]\nshield: off\n")
        expect(stage.run("deploy", "1"), 0)
        stage.set(bake="30s")
        break_release(stage.shop, visitors=2)
        shielded, times = _releases(stage, "shield", "on", range(2, 2 + runs))
        plain, others = _releases(stage, "shield-off", "off", range(2 + runs, 2 + runs + bare))
    return _result(shielded, times, plain, others)


def _releases(stage: Stage, log: str, shield: str, versions: range) -> tuple[tuple[Request, ...], list[float]]:
    """The client's requests, and the seconds that each release took."""
    times: list[float] = []
    with Traffic(stage.url, log_path(log), rate=RATE, seconds=40.0 * len(versions)) as traffic:
        traffic.wait_for(lambda r: r.good)
        for version in versions:
            stage.set(shield=shield, shift=STEPS[version % len(STEPS)])
            times.append(expect(stage.run("deploy", str(version)), 3).seconds)
    return read(log_path(log)).requests, times


def _result(
    shielded: tuple[Request, ...], times: list[float], plain: tuple[Request, ...], others: list[float]
) -> Result:
    rows = (("with the shield", shielded, times), ("without", plain, others))
    body = [[what, str(len(took)), *_counts(log), *spread(took)] for what, log, took in rows]
    head = ["", "releases", "GETs", "failed", "orders", "failed", "a release, s: least", "median", "p90", "most"]
    text = f"candidates whose every answer fails, under {RATE} requests/s:\n\n{columns(head, body)}"
    failed, without = _failed(shielded, "page", "slow"), _failed(plain, "page", "slow")
    goals = [
        Goal("failed GETs of users, with the shield", failed, 0),
        Goal("failed GETs of users, without it", without, 1, least=True),
    ]
    data = {"rate": RATE, "releases": len(times), "requests": len(shielded), "failed": failed, "without": without}
    return Result("shield", goals, text, data)


def _counts(log: tuple[Request, ...]) -> list[str]:
    orders = sum(r.kind == "order" for r in log)
    return [str(n) for n in (len(log) - orders, _failed(log, "page", "slow"), orders, _failed(log, "order"))]


def _failed(log: tuple[Request, ...], *kinds: str) -> int:
    return sum(r.bad or r.lost for r in log if r.kind in kinds)


if __name__ == "__main__":
    sys.exit(main(run))
