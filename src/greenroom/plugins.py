"""Adapters by name, through entry points: the built-in ones and everybody else's come the same way.

A package that offers an adapter says so in its `pyproject.toml`:

    [project.entry-points."greenroom.checks"]
    lighthouse = "our_package.lighthouse:LighthouseCheck"

and `type: lighthouse` in `greenroom.yaml` finds it. Nothing is imported before it is asked for by name.
"""

from __future__ import annotations

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from greenroom.errors import UsageError

GROUPS = {
    "artefact": "greenroom.artefacts",
    "environment": "greenroom.environments",
    "router": "greenroom.routers",
    "gate": "greenroom.gates",
    "check": "greenroom.checks",
    "analyser": "greenroom.analysers",
    "source": "greenroom.sources",
    "notifier": "greenroom.notifiers",
    "journal": "greenroom.journals",
    "migrator": "greenroom.migrators",
    "host": "greenroom.hosts",
}
"""By the port that they serve (`ports.py`)."""

EXTRAS = {
    "apprise": "apprise",
    "boto3": "aws",
    "botocore": "aws",
    "dns": "dns",
    "docker": "docker",
    "psycopg": "database",
    "pymysql": "mysql",
    "sqlglot": "database",
}
"""By library: the extra that brings it."""


def known(kind: str) -> tuple[str, ...]:
    """The names that `find` knows for this port, in alphabetical order."""
    return tuple(sorted(_found(kind)))


def find(kind: str, name: str) -> type[Any]:
    """The adapter's class. `UsageError` for an unknown name, and for a plug-in that cannot be imported."""
    points = _found(kind).get(name, ())
    if not points:
        raise UsageError(unknown(kind, name))
    if len(points) > 1:
        where = " and ".join(sorted(f"{origin(point)} ({point.value})" for point in points))
        raise UsageError(f"two packages offer the {kind} `{name}`: {where}", hint="uninstall one of them")
    return _load(kind, points[0])


def unknown(kind: str, name: str) -> str:
    """What is said of a name that nobody offers: the closest one, and all of them."""
    names = known(kind)
    if not names:
        return f"there is no {kind} at all, so no `{name}`: Greenroom is not installed properly; install it with pip"
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    nearest = f"did you mean `{near[0]}`? Known" if near else "known"
    return f"there is no {kind} `{name}`; {nearest}: {', '.join(names)}"


def origin(point: EntryPoint) -> str:
    """The distribution that offers it, for people."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed package"


@cache
def _installed() -> Any:
    """Once per process: what is installed does not change under a running command, and reading it takes its time.

    Of another type up to Python 3.11 than since; both can `select`.
    """
    return entry_points()


@cache
def _found(kind: str) -> dict[str, tuple[EntryPoint, ...]]:
    found: dict[str, dict[str, EntryPoint]] = {}
    for point in _installed().select(group=GROUPS[kind]):
        found.setdefault(point.name, {}).setdefault(point.value, point)
    return {name: tuple(by_value.values()) for name, by_value in found.items()}


def forget() -> None:
    """Look anew at what is installed: for tests, and for who installs while they run."""
    _installed.cache_clear()
    _found.cache_clear()


def extra_of(error: BaseException) -> str:
    """The extra that brings the library which is missing here; "" if none does."""
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    return EXTRAS.get((missing or "").partition(".")[0], "")


def _install(error: Exception) -> str:
    """Our own parts that are not in the default installation are extras."""
    extra = extra_of(error)
    return f"`pip install 'greenroom[{extra}]'`" if extra else "install or update that package"


def _load(kind: str, point: EntryPoint) -> type[Any]:
    try:
        loaded = point.load()
    except Exception as error:  # whatever a stranger's module does while it is imported
        missing = f"; is `{error.name}` installed?" if isinstance(error, ModuleNotFoundError) and error.name else ""
        why = f"{type(error).__name__}: {error}{missing}"
        raise UsageError(
            f"the {kind} `{point.name}` of {origin(point)} cannot be imported: {why}",
            hint=_install(error),
        ) from error
    if not isinstance(loaded, type):
        raise UsageError(f"the {kind} `{point.name}` of {origin(point)} is no class: {point.value}")
    return loaded
