"""Where the command line begins. Cheap to import: `status` has its answer before anything heavy is needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from greenroom.cli import quick

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Never raises."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\ninterrupted; `greenroom status` says what is", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _run(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print(f"greenroom {quick.version()}")
        return 0
    question = quick.read(arguments)
    code = quick.answer(question) if question else None
    if code is not None:
        return code
    from greenroom.cli.app import run

    return run(arguments)
