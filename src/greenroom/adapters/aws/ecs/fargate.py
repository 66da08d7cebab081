"""What Fargate can place, and what a warm colour costs there: two tables, and nothing asked of anybody."""

from __future__ import annotations

SIZES: dict[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4097, 1024)),
    1024: tuple(range(2048, 8193, 1024)),
    2048: tuple(range(4096, 16385, 1024)),
    4096: tuple(range(8192, 30721, 1024)),
    8192: tuple(range(16384, 61441, 4096)),
    16384: tuple(range(32768, 122881, 8192)),
}
"""CPU units → MiB, as AWS documents them (2025). Whether a region has the two largest, ECS says."""

PRICED = "2025-06"
"""When these were copied: US dollars for an hour of a vCPU and of a GB, Linux, on demand."""
PRICES: dict[str, tuple[float, float]] = {
    "us-east-1": (0.04048, 0.004445),
    "us-east-2": (0.04048, 0.004445),
    "us-west-2": (0.04048, 0.004445),
    "eu-west-1": (0.04048, 0.004445),
    "eu-central-1": (0.04656, 0.00511),
}
_ARM = 0.8
"""What Graviton costs of that, about."""


def unplaceable(cpu: int, memory: int) -> str:
    """Why Fargate cannot run a task of this size, with the nearest that it can; "" if it can."""
    if cpu not in SIZES:
        known = ", ".join(str(size) for size in SIZES)
        return f"Fargate has no tasks with {cpu} CPU units; it has {known}"
    if memory in SIZES[cpu]:
        return ""
    nearest = min(SIZES[cpu], key=lambda size: (abs(size - memory), -size))
    return f"Fargate has no tasks with {cpu} CPU units and {memory} MiB; the nearest is {nearest} MiB"


def estimate(cpu: int, memory: int, tasks: int, hours: float, region: str, *, arm: bool = False) -> float | None:
    """US dollars for so many tasks over so many hours. None where no price is known: an estimate, not a bill.

    Without load balancer, traffic, storage, discounts and savings plans, at the prices of `PRICED`.
    """
    price = PRICES.get(region)
    if price is None:
        return None
    vcpu, gigabyte = price
    hourly = cpu / 1024 * vcpu + memory / 1024 * gigabyte
    return hourly * (_ARM if arm else 1.0) * tasks * hours
