"""The shop's worker: packs the orders, one after the other, oldest first.

It is written for one worker at a time: two of them would pack the same order twice. `runs: active` promises that.
"""

from __future__ import annotations

import os
import signal
import threading
import time

from shop import VERSION, database

NEXT = "SELECT id FROM orders WHERE id > (SELECT coalesce(max(order_id), 0) FROM packed) ORDER BY id LIMIT 20"


def main() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    db = database()
    print(f"version {VERSION} packs", flush=True)
    while not stop.is_set():
        rows = db.execute(NEXT).fetchall()
        if not rows:
            stop.wait(0.1)
        for (order,) in rows:
            if stop.is_set():
                break
            time.sleep(0.005)  # the work
            db.execute("INSERT INTO packed VALUES (?, ?, ?, ?)", (order, VERSION, os.getpid(), time.time()))
    db.close()
    print("closed", flush=True)


if __name__ == "__main__":
    main()
