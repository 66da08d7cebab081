"""Security scanners for the tests of the gates: real ones, in a place of their own, and recordings of others."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(sys.prefix) / "scanners" / "bin"
"""Where scripts/scanners.sh installs them."""
RECORDED = Path(__file__).parents[1] / "fixtures" / "sarif"
_SCRIPT = """#!{python}
import datetime, json, os, pathlib, re, sys
text = pathlib.Path({recording!r}).read_text().replace("/srv/shop/" + {folder!r}, os.getcwd())
now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
said = json.loads(re.sub('("endTimeUtc": )"[^"]*"', r'\\1"' + now + '"', text))
pathlib.Path({arguments!r}).write_text(json.dumps(sys.argv[1:]))
report = pathlib.Path(os.environ["GREENROOM_REPORT"])
if "-autorun" in sys.argv:  # ZAP writes where its plan says
    plan = pathlib.Path(sys.argv[sys.argv.index("-autorun") + 1])
    pathlib.Path({arguments!r} + ".plan").write_text(plan.read_text())
    report = plan.with_name("zap.json")
if said["report"] is not None:
    report.write_text(json.dumps(said["report"]))
if said["beside"] is not None:
    report.with_name(report.name + ".beside").write_text(json.dumps(said["beside"]))
sys.stderr.write(said["log"])
sys.exit(said["exit"])
"""


def real() -> str:
    """A `PATH` with the real scanners."""
    if not (FOLDER / "semgrep").exists():
        pytest.skip("the scanners are not installed")
    return f"{FOLDER}:/usr/bin:/bin"


def recording(name: str) -> dict[str, Any]:
    return dict(json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8")))


def recorded(bin: Path, program: str, name: str, folder: str = "") -> str:
    """A `PATH` with a program that says again what the real one said; what it is asked is in `program.json` there.

    `folder`: the one that it ran in, below `/srv/shop`.
    """
    bin.mkdir(exist_ok=True)
    script = bin / program
    text = _SCRIPT.format(
        python=sys.executable,
        recording=str(RECORDED / f"{name}.json"),
        folder=folder,
        arguments=str(bin / f"{program}.json"),
    )
    script.write_text(text, encoding="utf-8")
    script.chmod(0o755)
    return f"{bin}:/usr/bin:/bin"


def arguments(bin: Path, program: str) -> list[str]:
    return list(json.loads((bin / f"{program}.json").read_text(encoding="utf-8")))
