"""The example shop with a table of members in PostgreSQL, which every request but the checks' writes and reads.

Used as `shop.py` of a release, beside the real one, which is then called `plain.py`. The name of the column that the
release knows stands in the file `column` beside it. What is read must be what this request has just written.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import plain  # type: ignore[import-not-found]
import psycopg

VERSION, database = plain.VERSION, plain.database  # which the worker of the demonstration takes from here
COLUMN = Path(__file__).with_name("column").read_text().strip()
MEMBERS = 500
_OWN = threading.local()


def connection() -> psycopg.Connection[Any]:
    """One for each thread, kept, as a pool would."""
    if getattr(_OWN, "made", None) is None or _OWN.made.closed:
        _OWN.made = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    made: psycopg.Connection[Any] = _OWN.made
    return made


class Handler(plain.Handler):
    def serve(self, path: str, number: str, body: bytes) -> None:
        wanted = f"{VERSION}-{number}"
        text = f"UPDATE members SET {COLUMN} = %s, writes = writes + 1 WHERE id = %s RETURNING {COLUMN}"
        [(seen,)] = connection().execute(text, [wanted, int(number) % MEMBERS]).fetchall()
        if seen != wanted:
            raise RuntimeError(f"wrote {wanted!r}, read {seen!r}")
        super().serve(path, number, body)


def main() -> None:
    plain.Handler = Handler
    plain.main()


if __name__ == "__main__":
    main()
