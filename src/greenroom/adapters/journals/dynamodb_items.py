"""What a journal looks like in DynamoDB: the items of its head and of its entries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

FORMAT = 1

PIECE = 90_000
"""Characters of a record that go into one item: 360 kB at most, of the 400 that DynamoDB allows."""

HEAD = "head"

Item: TypeAlias = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Head:
    """The one item that every write changes, so that of two at once one fails. `rev`: how many writes there were.

    `last`, `at`: of the newest entry; `write`: the token of who wrote last. The rest is the newest lease; `owner` (JSON)
    is "" once it was given back.
    """

    rev: int
    write: str
    last: int = 0
    at: float = 0.0
    epoch: int = 0
    owner: str = ""
    why: str = ""
    since: float = 0.0
    renewed: float = 0.0
    expires: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as it is kept. `write`: the token of the append that it came with."""

    seq: int
    at: float
    epoch: int
    release: str
    kind: str
    body: str
    write: str


def text(given: str) -> str:
    """As DynamoDB can hold it: output of programs may have bytes that are no text."""
    return given.encode("utf-8", "backslashreplace").decode()


def place(seq: int) -> str:
    """In the order of the sequence, and before the head."""
    return f"{seq:012d}"


def key(service: str, item: str) -> Item:
    return {"service": {"S": service}, "item": {"S": item}}


def of_head(head: Head) -> Item:
    """Without its key and its format, which never change."""
    return {
        "rev": {"N": str(head.rev)},
        "write": {"S": head.write},
        "last": {"N": str(head.last)},
        "at": {"N": repr(head.at)},
        "epoch": {"N": str(head.epoch)},
        "owner": {"S": head.owner},
        "why": {"S": text(head.why)},
        "since": {"N": repr(head.since)},
        "renewed": {"N": repr(head.renewed)},
        "expires": {"N": repr(head.expires)},
    }


def head_of(item: Mapping[str, Any]) -> Head:
    """`KeyError`, `ValueError` or `TypeError` for what is none; so do the others here."""
    return Head(
        rev=int(item["rev"]["N"]),
        write=str(item["write"]["S"]),
        last=int(item["last"]["N"]),
        at=float(item["at"]["N"]),
        epoch=int(item["epoch"]["N"]),
        owner=str(item["owner"]["S"]),
        why=str(item["why"]["S"]),
        since=float(item["since"]["N"]),
        renewed=float(item["renewed"]["N"]),
        expires=float(item["expires"]["N"]),
    )


def of_row(service: str, row: Row) -> list[Item]:
    """A long record takes several."""
    pieces = [row.body[n : n + PIECE] for n in range(0, len(row.body), PIECE)]
    seq = {"seq": {"N": str(row.seq)}}
    first = {
        **key(service, place(row.seq)),
        **seq,
        "time": {"S": datetime.fromtimestamp(row.at, UTC).isoformat(timespec="milliseconds")},  # for people
        "at": {"N": repr(row.at)},
        "epoch": {"N": str(row.epoch)},
        "release": {"S": text(row.release)},
        "kind": {"S": row.kind},
        "body": {"S": pieces[0]},
        "parts": {"N": str(len(pieces))},
        "write": {"S": row.write},
    }
    more = enumerate(pieces[1:], start=1)
    return [first, *({**key(service, f"{place(row.seq)}/{n:02d}"), **seq, "body": {"S": piece}} for n, piece in more)]


def rows_of(items: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Those that are whole."""
    pieces: dict[int, list[str]] = {}
    for item in items:
        pieces.setdefault(int(item["seq"]["N"]), []).append(item["body"]["S"])
    firsts = [item for item in items if "parts" in item]
    return [
        _row(item, "".join(pieces[int(item["seq"]["N"])]))
        for item in firsts
        if len(pieces[int(item["seq"]["N"])]) == int(item["parts"]["N"])
    ]


def _row(item: Mapping[str, Any], body: str) -> Row:
    return Row(
        seq=int(item["seq"]["N"]),
        at=float(item["at"]["N"]),
        epoch=int(item["epoch"]["N"]),
        release=str(item["release"]["S"]),
        kind=str(item["kind"]["S"]),
        body=body,
        write=str(item["write"]["S"]),
    )
