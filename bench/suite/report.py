"""Rows as tables that a person reads."""

from __future__ import annotations

from collections.abc import Iterable

from .figures import LATENCIES

HEADER = ["What", "Measured", "Spread", "Floor", "Ratio", "Target"]
LATENCY_HEADER = ["What", "p50", "p99", "p99.99", "Syncs a record"]


def amount(value: float, unit: str) -> str:
    """A figure as a person reads it."""
    if unit == "us":
        return f"{value:.1f} us"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}{'B/s' if unit == 'bytes/s' else '/s'}"
    return f"{value:.0f} /s"


def ends(spread: dict[str, float], unit: str) -> str:
    """Smallest and largest."""
    return " to ".join(amount(spread[end], unit) for end in ("min", "max"))


def target_text(row: dict) -> str:
    """What is to be reached, and whether it was."""
    if row["target"] is None:
        return ""
    ((kind, value),) = row["target"].items()
    text = {
        "at_least": lambda: f">= {amount(value, row['unit'])}",
        "at_most": lambda: f"<= {amount(value, row['unit'])}",
        "ratio_at_least": lambda: f">= {value:g} of the floor",
    }[kind]()
    return text + (", met" if row["met"] else ", missed")


def cells(row: dict) -> list[str]:
    """One line of the table."""
    return [
        row["name"],
        amount(row["value"]["median"], row["unit"]),
        ends(row["value"], row["unit"]),
        amount(row["floor"]["median"], row["unit"]),
        f"{row['ratio']['median']:.3g}",
        target_text(row),
    ]


def latency_cells(row: dict) -> list[str]:
    """One line of the table of latencies."""
    times = [amount(row["latency"][name]["median"] / 1000, "us") for name in LATENCIES]
    return [row["name"], *times, f"{row['syncs_per_record']:.3g}"]


def table(header: list[str], lines: Iterable[list[str]]) -> list[str]:
    """Markdown."""
    head = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return head + ["| " + " | ".join(line) + " |" for line in lines]


def markdown(machine: dict, rows: list[dict]) -> str:
    """The machine, and all tables."""
    before, after = machine["load_average"]
    text = f"{machine['cpu']}, {machine['system']} {machine['release']}; load average {before:.1f}"
    text += f" when it began, with what else ran there, {after:.1f} when it ended."
    lines = [text, "", *table(HEADER, map(cells, rows))]
    appends = [row for row in rows if "latency" in row]
    if appends:
        lines += ["", *table(LATENCY_HEADER, map(latency_cells, appends))]
    return "\n".join(lines) + "\n"
