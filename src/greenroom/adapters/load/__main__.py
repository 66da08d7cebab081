"""`python -m greenroom.adapters.load FOLDER`: run the plan that lies there."""

from __future__ import annotations

import gc
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from greenroom.adapters.load.connection import Target
from greenroom.adapters.load.generator import Generator
from greenroom.adapters.load.plan import Plan
from greenroom.adapters.load.scribe import Scribe
from greenroom.adapters.load.tally import put

_SPARE = 64


def main(folder: Path) -> int:
    """0: there is a report, whatever it says. 2: it could not begin; the last line of its output says why."""
    file = folder / "plan.json"
    plan = Plan.read(file)
    try:
        target = Target(plan)
    except OSError as error:
        subject = f"the file of authorities {plan.ca} cannot be used" if plan.ca else f"no address of {plan.host}"
        print(f"{subject}: {error.strerror or error}", file=sys.stderr)
        return 2
    finally:
        file.unlink(missing_ok=True)  # what is secret in it lies on no disk while this runs
    scribe = Scribe(folder / "progress.json")
    _make_room(plan.connections + _SPARE)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # a collection is a pause, and hardly anything here needs one
    generator = Generator(plan, target, scribe.tell)
    began, cpu, waited = time.perf_counter(), time.process_time(), _waited()
    report: dict[str, Any] = generator.run()
    seconds = time.perf_counter() - began
    report["cpu"] = round((time.process_time() - cpu) / seconds, 3)
    report["kept_waiting"] = round((_waited() - waited) / seconds, 3)
    scribe.close()
    put(folder / "report.json", report)
    return 0


def _make_room(files: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files if hard == resource.RLIM_INFINITY else min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _waited() -> float:
    """Seconds that this process was ready to run and had to wait for a processor."""
    try:
        return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
