"""A candidate that fails every answer once users reach it, under 200 requests a second: how long, and how many errors?

Each run is one release of a shop that is healthy, passes its check, and then fails. Greenroom has to see it in the
router's figures and put the traffic back. Counted by the client: the bad answers, and the time from the first of them
to the last.
"""

from __future__ import annotations

import sys

from bench.common import Goal, Result, expect, histogram, log_path, main, plain, spread, staged
from greenroom.demo.log import Request, read
from greenroom.demo.stage import break_release
from greenroom.demo.table import bad_spell, columns
from greenroom.demo.traffic import Traffic

RATE = 200
RUNS = 30


def run(quick: bool) -> Result:
    log, runs = log_path("rollback"), 3 if quick else RUNS
    with staged("rollback", {"bake": "1s"}) as stage:
        expect(stage.run("deploy", "1"), 0)
        stage.set(bake="30s")
        break_release(stage.shop, visitors=2)
        with Traffic(stage.url, log, rate=RATE, seconds=30.0 * runs) as traffic:
            traffic.wait_for(lambda r: r.good)
            for version in range(2, runs + 2):
                expect(stage.run("deploy", str(version)), 3)
    return _result(read(log).requests, runs)


def _result(requests: tuple[Request, ...], runs: int) -> Result:
    spells = [bad_spell(requests, str(version)) for version in range(2, runs + 2)]
    counts = [spell.count if spell else 0 for spell in spells]
    times = [spell.seconds if spell else 0.0 for spell in spells]
    lost = sum(r.lost for r in requests)
    wrong = sum(r.bad and r.version == "1" for r in requests)
    body = [["bad answers a release", *spread(counts)], ["first bad answer to last, s", *spread(times)]]
    text = "\n".join([
        f"{runs} bad releases under {RATE} requests/s: {len(requests)} requests, {lost} lost, "
        f"{sum(counts)} bad answers, {wrong} of them by the good release",
        "",
        columns(["", "least", "median", "p90", "most"], body),
        "",
        "seconds from the first bad answer to the last:",
        histogram(times, "s"),
    ])  # fmt: skip
    goals = [
        Goal("last bad answer after the first, most", max(times), 1.5, "s"),
        Goal("lost requests", lost, 0),
        Goal("bad answers by the good release", wrong, 0),
        Goal("releases that were seen to fail", sum(count > 0 for count in counts), runs, least=True),
    ]
    data = {"runs": runs, "rate": RATE, "requests": len(requests), "bad": counts, "seconds": [plain(t) for t in times]}
    return Result("rollback", goals, text, data)


if __name__ == "__main__":
    sys.exit(main(run))
