"""Rows of the report."""

from __future__ import annotations

import statistics

# Those that every row of appends has.
LATENCIES = ["p50_ns", "p99_ns", "p9999_ns"]


def spread(values: list[float]) -> dict[str, float]:
    """The middle and both ends."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def row(
    name: str,
    unit: str,
    values: list[float],
    floor_name: str,
    floors: list[float],
    target: dict[str, float] | None,
) -> dict:
    """One figure with its floor, round by round. The ratio is that of each round."""
    ratio = spread([value / floor for value, floor in zip(values, floors, strict=True)])
    made = {
        "name": name,
        "unit": unit,
        "rounds": len(values),
        "value": spread(values),
        "floor_name": floor_name,
        "floor": spread(floors),
        "ratio": ratio,
        "target": target,
        "met": None,
    }
    if target is not None:
        ((kind, limit),) = target.items()
        reached = ratio["median"] if kind.startswith("ratio") else made["value"]["median"]
        made["met"] = reached <= limit if kind.endswith("at_most") else reached >= limit
    return made


def latency(results: list[dict]) -> dict[str, dict[str, float]]:
    """The latencies of all rounds."""
    return {name: spread([result[name] for result in results]) for name in LATENCIES}
