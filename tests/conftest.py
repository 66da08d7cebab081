"""What holds for every test: signals as in a shell, no settings leaking in, the same examples at every run, no unknown
skips, results as a file."""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

SKIPS = Path(__file__).with_name("skips.txt")
SYSTEM = Path(__file__).with_name("system")

# Background jobs and nohup ignore these, and children inherit that: tests of being interrupted would test nothing.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number is signal.SIGINT else signal.SIG_DFL)

# Settings of whoever runs the tests are not part of the tests.
for _name in [name for name in os.environ if name.startswith("GREENROOM_")]:
    del os.environ[_name]

# The same examples at every run, whatever the machine is busy with; `make soak` looks for new ones.
_BUSY = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("steady", derandomize=True, database=None, deadline=None, suppress_health_check=_BUSY)
settings.register_profile("search", deadline=None, print_blob=True, suppress_health_check=_BUSY)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("search" if config.getoption("markexpr") == "soak" else "steady")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in `system` talks to real processes."""
    for item in items:
        if SYSTEM in item.path.parents:
            item.add_marker(pytest.mark.real)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--results", metavar="FILE", help="write what passed, failed and was skipped to FILE, as JSON")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Refuse unknown skips in CI, and leave the results for `scripts/run_tests.py`."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(session.config, "workerinput"):
        return
    _sweep_sockets()
    unknown = _unknown_skips(reporter.stats.get("skipped", []))
    if unknown and os.environ.get("CI") == "true":
        for nodeid, reason in unknown:
            reporter.write_line(f"SKIP NOT ALLOWED (tests/skips.txt): {nodeid} | {reason}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    target = session.config.getoption("--results")
    if target:
        results = {
            name: sorted({_plain(report.nodeid) for report in reporter.stats.get(name, [])})
            for name in ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
        }
        results["skips refused"] = [f"{nodeid} | {reason}" for nodeid, reason in unknown]
        Path(target).write_text(json.dumps(results, indent=1))


def _sweep_sockets() -> None:
    """Supervisors that a test killed leave their socket's folder in /tmp; those that nobody answers go."""
    ours = (path for path in Path("/tmp").glob(f"greenroom-{os.geteuid()}-*/*") if "-ssh-" not in path.parent.name)
    for path in ours:
        with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                path.parent.rmdir()


def _plain(nodeid: str) -> str:
    """Without the `@group` that xdist adds, so that the test can be asked for by this name."""
    name, at, group = nodeid.rpartition("@")
    return name if at and "]" not in group else nodeid


def _unknown_skips(reports: list[pytest.TestReport]) -> list[tuple[str, str]]:
    lines = [line.strip() for line in SKIPS.read_text().splitlines()]
    allowed = [tuple(part.strip() for part in line.split("|", 1)) for line in lines if line and line[0] != "#"]
    unknown = []
    for report in reports:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = text.removeprefix("Skipped: ")
        if not any(fnmatchcase(report.nodeid, test) and fnmatchcase(reason, why) for test, why in allowed):
            unknown.append((report.nodeid, reason))
    return unknown
