"""The honest table: what the client's log says, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from greenroom.demo.log import Request


@dataclass(frozen=True, slots=True)
class Row:
    """One release on one colour: how many requests it answered, by status. Without a version: what nobody answered."""

    version: str
    colour: str
    statuses: Counter[int]
    lost: int = 0

    @property
    def requests(self) -> int:
        return self.statuses.total() + self.lost


def rows(requests: Iterable[Request]) -> list[Row]:
    """A row for each release that answered, in the order of its first answer; then the lost, if there are any."""
    found: dict[tuple[str, str], Counter[int]] = {}
    lost = 0
    for request in requests:
        if request.lost:
            lost += 1
        else:
            found.setdefault((request.version, request.colour), Counter())[request.status] += 1
    table = [Row(version, colour, statuses) for (version, colour), statuses in found.items()]
    return [*table, Row("", "", Counter(), lost)] if lost else table


@dataclass(frozen=True, slots=True)
class Handover:
    """From one release to another. Moments at which requests were sent: the first that the new one answered, and the
    last that the old one answered. `seconds` is how long both were answering; 0 is a clean cut.
    """

    first_new: float
    last_old: float

    @property
    def seconds(self) -> float:
        return max(0.0, self.last_old - self.first_new)


def handover(requests: Sequence[Request], old: str, new: str) -> Handover | None:
    """None if one of the two did not answer. The requests given should hold no more than this one handover."""
    olds = [r.at for r in requests if r.version == old]
    news = [r.at for r in requests if r.version == new]
    return Handover(min(news), max(olds)) if olds and news else None


@dataclass(frozen=True, slots=True)
class Spell:
    """Bad answers: how many, and when the first and the last of them arrived."""

    count: int
    first: float
    last: float

    @property
    def seconds(self) -> float:
        return self.last - self.first


def bad_spell(requests: Iterable[Request], version: str | None = None) -> Spell | None:
    times = [r.answered for r in requests if r.bad and version in (None, r.version)]
    return Spell(len(times), min(times), max(times)) if times else None


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all values do not exceed (nearest rank); 0 for none."""
    ordered = sorted(values)
    return ordered[max(0, -(-round(share * len(ordered) * 1e6) // 10**6) - 1)] if ordered else 0.0


def columns(head: Sequence[str], body: Sequence[Sequence[str]], left: int = 1) -> str:
    """Plain text: the first `left` columns begin at the left, the others end at the right."""
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]

    def put(line: Sequence[str]) -> str:
        cells = (c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        return "  ".join(cells).rstrip()

    return "\n".join([put(head), put(["─" * w for w in widths]), *(put(line) for line in body)])


def requests_table(requests: Sequence[Request]) -> str:
    """Requests by release, colour and status, and the lost ones."""
    table = rows(requests)
    statuses = sorted({status for row in table for status in row.statuses} | {200})
    body = [_cells(row, statuses) for row in table if row.version]
    total = Row("all", "", sum((row.statuses for row in table), Counter[int]()), sum(row.lost for row in table))
    return columns(
        ["release", "colour", "requests", *map(str, statuses), "lost"], [*body, _cells(total, statuses)], left=2
    )


def _cells(row: Row, statuses: Sequence[int]) -> list[str]:
    counts = [row.statuses[status] for status in statuses]
    lost = "–" if row.version != "all" else number(row.lost)
    return [row.version, row.colour, number(row.requests), *map(number, counts), lost]


def number(value: int) -> str:
    return f"{value:,}".replace(",", " ")


def duration(seconds: float) -> str:
    """As people say it: 12 ms, 0.84 s, 61 s."""
    if seconds < 0.1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
