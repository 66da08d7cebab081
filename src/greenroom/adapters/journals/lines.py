"""The lines of a journal kept on a host: each one append, chained to the one before by its checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from greenroom.domain import codec
from greenroom.domain.records import Entry, Record
from greenroom.errors import JournalCorrupt, JournalUnusable

_SUM = b',"sum":"'


@dataclass(frozen=True, slots=True)
class Mark:
    """A place between two lines: the last entry before it, its offset in the file, the checksum up to it."""

    seq: int
    offset: int
    sum: str


def written(records: Sequence[Record]) -> str:
    """The records of one append, as the script puts them into its line: nothing but ASCII, whatever shell reads it."""
    return json.dumps([json.loads(codec.dumps(record)) for record in records])


def read(data: bytes, mark: Mark) -> tuple[list[Entry], list[Mark]]:
    """The entries from `mark` on, and where each append ended. `JournalCorrupt` if they are not what was written."""
    entries: list[Entry] = []
    marks: list[Mark] = []
    for line in data.splitlines(keepends=True):
        fresh, mark = _line(line, mark)
        entries += fresh
        marks.append(mark)
    return entries, marks


def _line(line: bytes, mark: Mark) -> tuple[list[Entry], Mark]:
    text, found, rest = line.rpartition(_SUM)
    total = hashlib.sha256(mark.sum.encode() + text).hexdigest()
    if not found or rest != f'{total}"}}\n'.encode():
        raise JournalCorrupt(f"the entries after {mark.seq} are not what was written")
    document: dict[str, Any] = json.loads(text + b"}")
    first, at, epoch = document["seq"], float(document["at"]), document["epoch"]
    if first != mark.seq + 1:
        raise JournalCorrupt(f"entry {mark.seq + 1} is missing")
    entries = []
    for seq, record in enumerate(document["records"], start=first):
        try:
            entries.append(Entry(seq, at, epoch, codec.decode(record)))
        except JournalUnusable as error:
            raise type(error)(f"entry {seq}: {error.message}", hint=error.hint) from None
    return entries, Mark(mark.seq + len(entries), mark.offset + len(line), total)


def records(text: str) -> list[Record]:
    """What `written` made, as everybody will read it."""
    return [codec.decode(document) for document in json.loads(text)]
