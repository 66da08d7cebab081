"""The example shop with a mood: how it treats users stands in the file `mood` beside it, so that each release has its own.

Used as `shop.py` of a release, beside the real one, which is then called `plain.py`. The moods:

    good         as the shop is, but each answer takes its time, as answers do (log-normal, one in a hundred long)
    fails        every answer is an error
    some         one of twenty answers is an error
    slow         everything takes five times as long
    crash 2      each process dies so many seconds after its first visitor, also when it is started again

Errors, slowness and death begin with the first visitor after the checks: a check bears the header `x-check`.
"""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import plain  # type: ignore[import-not-found]

VERSION, database = plain.VERSION, plain.database  # which the worker of the demonstration takes from here
MOOD, *MORE = Path(__file__).with_name("mood").read_text().split()
MEDIAN, SIGMA, LONG = 0.03, 0.5, 6.0


class Handler(plain.Handler):
    visited = threading.Event()

    def serve(self, path: str, number: str, body: bytes) -> None:
        if "x-check" in self.headers:
            return super().serve(path, number, body)
        if MOOD == "crash" and not Handler.visited.is_set():
            Handler.visited.set()
            threading.Timer(float(MORE[0]), os._exit, (1,)).start()
        began = time.monotonic()
        time.sleep(random.lognormvariate(0.0, SIGMA) * MEDIAN * (LONG if random.random() < 0.01 else 1.0))
        if MOOD == "fails" or (MOOD == "some" and random.random() < 0.05):
            raise RuntimeError(f"a {MOOD} mood")
        if MOOD == "slow":
            time.sleep(4 * (time.monotonic() - began + (0.3 if path == "/slow" else 0.0)))
        super().serve(path, number, body)


def main() -> None:
    plain.Handler = Handler
    plain.main()


if __name__ == "__main__":
    main()
