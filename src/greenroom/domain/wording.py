"""Numbers of the analysis as people read them."""

from __future__ import annotations

import math

from greenroom.domain.figures import Figures
from greenroom.domain.history import quantile

LATENCY = ("p50", "p90", "p95", "p99")


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def value(metric: str, number: float) -> str:
    """In the unit of its metric; a query's own value has none."""
    match metric:
        case "error_rate":
            return percent(number)
        case "request_rate":
            return f"{number:.3g} requests/s"
        case "cpu":
            return f"{number:.3g} cores"
        case "memory":
            return f"{number / 2**20:.4g} MiB"
        case metric if metric in LATENCY:
            return f"{number:g} ms" if math.isfinite(number) else "longer than the router measures"
    return f"{number:.6g}"


def name(metric: str) -> str:
    return metric.replace("_", " ")


def sure(p: float) -> str:
    """How sure it is that it was not chance, never said higher than it is."""
    if p < 1e-6:
        return "more than 99.9999 %"
    digits = max(0, math.ceil(-math.log10(p)) - 1)
    return f"{math.floor((1 - p) * 100 * 10**digits) / 10**digits:.{digits}f} %"


def errors_of(figures: Figures) -> str:
    """`7 of 100 requests, 3 of them shielded`."""
    shielded = f", {figures.shielded} of them shielded" if figures.shielded else ""
    return f"{figures.errors} of {figures.requests} requests{shielded}"


def line(figures: Figures) -> str:
    """All of it in one line: to be set beside the other colour's."""
    if not figures.requests:
        return "no requests"
    times = [
        f"{n} {value(n, found)}" for n in ("p50", "p99") if (found := quantile(figures, int(n[1:]) / 100)) is not None
    ]
    return ", ".join([f"{percent(figures.errors / figures.requests)} errors ({errors_of(figures)})", *times])
