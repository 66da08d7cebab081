"""Where an image comes from, in the labels that the Open Container Initiative has agreed on."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

_PREFIX = "org.opencontainers.image."


def provenance(context: Path, version: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Version and time; the revision and its origin, where the context is in a Git repository."""
    found = {"version": version, "created": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")}
    revision = _git(context, environment, "rev-parse", "HEAD")
    if revision:
        changed = _git(context, environment, "status", "--porcelain", "--untracked-files=no")
        found["revision"] = revision + ("-dirty" if changed else "")
        source = _git(context, environment, "config", "--get", "remote.origin.url")
        found |= {"source": _without_login(source)} if source else {}
    return {_PREFIX + name: text for name, text in found.items()}


def _git(context: Path, environment: Mapping[str, str], *words: str) -> str:
    """What it says; "" where there is no Git, no repository, or no answer in time."""
    try:
        ran = subprocess.run(
            ["git", "-C", str(context), *words],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=5.0,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout.strip() if ran.returncode == 0 else ""


def _without_login(url: str) -> str:
    """Tokens are often put into the address; labels are for everybody."""
    parts = urlsplit(url)
    if not parts.scheme or "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
