"""What both colours did, side by side: the numbers that a verdict leaves in the journal, for whoever is told. Pure."""

from __future__ import annotations

import math
from typing import Any

from greenroom.domain.assess import figures_of
from greenroom.domain.figures import Figures
from greenroom.domain.history import quantile
from greenroom.domain.model import Document
from greenroom.domain.release import Release


def beside(release: Release, document: Document | None) -> dict[str, Any]:
    """From what stands in the journal (`judging.figures_beside`); empty where that is nothing, or of another shape."""
    try:
        candidate = figures_of((document or {}).get("candidate"))
        baseline = figures_of((document or {}).get("baseline"))
        over = float((document or {}).get("seconds", 0.0))
    except (TypeError, ValueError, KeyError, AttributeError):
        return {}
    return {} if candidate is None else numbers(release, candidate, baseline, over)


def numbers(release: Release, candidate: Figures, baseline: Figures | None, over: float) -> dict[str, Any]:
    """By colour; `over`: the seconds in which it was counted. `baseline` None: there is nothing to compare with."""
    found: dict[str, Any] = {
        str(release.colour): {"version": release.version, "role": "candidate", **_of(candidate), "over": round(over, 1)}
    }
    if release.baseline is not None and baseline is not None:
        about = {"version": release.baseline.version, "role": "baseline"}
        found[str(release.baseline.colour)] = {**about, **_of(baseline), "over": round(over, 1)}
    return found


def _of(figures: Figures) -> dict[str, Any]:
    rate = figures.errors / figures.requests if figures.requests else None
    return {
        "requests": figures.requests,
        "errors": figures.errors,
        "error_rate": None if rate is None else round(rate, 6),
        "p50": _milliseconds(figures, 0.50),
        "p99": _milliseconds(figures, 0.99),
        **({"shielded": figures.shielded} if figures.shielded else {}),
    }


def _milliseconds(figures: Figures, q: float) -> float | None:
    value = quantile(figures, q)
    return None if value is None or not math.isfinite(value) else value


def as_row(one: Document) -> dict[str, str]:
    """One colour's numbers as people read them; what is not known is left out."""
    rate, requests = one.get("error_rate"), one.get("requests")
    row: dict[str, str] = {}
    if isinstance(requests, int | float):
        row["requests"] = f"{requests:,.0f}"
    if isinstance(rate, int | float):
        row["error rate"] = f"{100 * rate:.3g} %" + (f" ({one['errors']:,.0f})" if one.get("errors") else "")
    for name in ("p50", "p99"):
        if isinstance(value := one.get(name), int | float):
            row[name] = f"{value:,.4g} ms"
    if isinstance(share := one.get("share"), int | float):
        row["traffic"] = f"{share:g} %"
    return row
