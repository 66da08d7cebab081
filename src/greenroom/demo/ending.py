"""The end of the story: what the client's log and the shop's own books say, and whether it went as told."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from greenroom.demo.log import Log, Request, read
from greenroom.demo.picture import Event, draw
from greenroom.demo.table import Handover, bad_spell, duration, handover, number, requests_table

Chapters = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Books:
    """The shop's orders: the numbers of the requests that were accepted, and how often each was packed."""

    orders: tuple[int, ...]
    packed: Mapping[int, int]


def books(data: Path) -> Books:
    file = data / "orders.db"
    if not file.exists():
        return Books((), {})
    db = sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)
    try:
        orders = db.execute("SELECT number FROM orders").fetchall()
        packed = db.execute(
            "SELECT orders.number, count(*) FROM packed JOIN orders ON orders.id = order_id GROUP BY 1"
        ).fetchall()
        return Books(tuple(n for (n,) in orders), dict(packed))
    finally:
        db.close()


def all_packed(data: Path, within: float) -> bool:
    deadline = time.monotonic() + within
    while True:
        seen = books(data)
        if len(seen.packed) >= len(set(seen.orders)):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)


def show(log: Path, data: Path, events: Sequence[Event], chapters: Chapters, out: Path) -> list[str]:
    """Print the table, leave the picture and `figures.json`; what was not as told, in sentences."""
    if not log.exists():
        return ["there was no traffic"]
    seen, kept = read(log), books(data)
    lines = [requests_table(seen.requests), "", *facts(seen.requests, events, chapters), *_order_facts(kept)]
    print("\n" + "\n".join(lines) + "\n", flush=True)
    (out / "events.json").write_text(json.dumps([[e.at, e.text] for e in events]) + "\n")
    for line in _picture(seen, events, out):
        print(line, flush=True)
    print(f"the client's log of requests: {log}", flush=True)
    return faults(seen, kept)


def facts(requests: Sequence[Request], events: Sequence[Event], chapters: Chapters) -> list[str]:
    """The times, in sentences, from the client's log alone."""
    lines = []
    if found := _in(requests, chapters, "second", "1", "2"):
        lines.append(f"switch to release 2: both answered for {duration(found.seconds)}, then only the new one")
    if spell := bad_spell(requests, "3"):
        lines.append(
            f"release 3: {number(spell.count)} answers with an error, "
            f"{duration(spell.seconds)} from the first bad answer to the last"
        )
    told = next((e.at for e in events if e.text.startswith("rollback")), None)
    fours = [r.at for r in requests if r.version == "4"]
    if told is not None and fours:
        lines.append(
            f"rollback by hand: {duration(max(fours) - told)} from the command to the last request of release 4"
        )
    return lines


def _in(requests: Sequence[Request], chapters: Chapters, name: str, old: str, new: str) -> Handover | None:
    begin, end = chapters.get(name, (0.0, 0.0))
    return handover([r for r in requests if begin <= r.at <= end], old, new)


def _order_facts(kept: Books) -> list[str]:
    if not kept.orders:
        return []
    twice = sum(times > 1 for times in kept.packed.values())
    return [
        f"orders: {number(len(kept.orders))} accepted, {number(len(kept.packed))} packed, {number(twice)} packed twice"
    ]


def _picture(seen: Log, events: Sequence[Event], out: Path) -> list[str]:
    lost = sum(r.lost for r in seen.requests)
    title = f"Four releases, one of them bad, and a kill -9: {number(len(seen.requests))} requests, {number(lost)} lost"
    try:
        return [f"picture: {path}" for path in draw(seen.requests, events, out, title)]
    except ImportError:
        return ['no picture: matplotlib is not installed (pip install "greenroom[demo]")']


def faults(seen: Log, kept: Books) -> list[str]:
    """Whatever the log and the books hold that is not in the story."""
    found = []
    if not seen.complete:
        found.append("the client's log is not complete")
    lost = [r for r in seen.requests if r.lost]
    if lost:
        found.append(f"{len(lost)} requests were lost, the first: number {lost[0].number}, {lost[0].error}")
    wrong = [r for r in seen.requests if r.bad and r.version != "3"]
    if wrong:
        found.append(f"{len(wrong)} bad answers by a good release, the first: number {wrong[0].number}")
    if not any(r.bad for r in seen.requests):
        found.append("release 3 did not fail")
    accepted = [r.number for r in seen.requests if r.kind == "order" and r.good]
    if sorted(kept.orders) != accepted:
        found.append(f"the shop has {len(kept.orders)} orders, the client {len(accepted)} that were accepted")
    if unpacked := len(set(kept.orders) - set(kept.packed)):
        found.append(f"{unpacked} orders were never packed")
    if twice := sum(times > 1 for times in kept.packed.values()):
        found.append(f"{twice} orders were packed twice: two workers ran at once")
    return found
