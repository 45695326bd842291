"""Rows as tables that a person reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .figures import LATENCIES

HEADER = ["What", "Measured", "Spread", "Floor", "Ratio", "Target"]
LATENCY_HEADER = ["What", "p50", "p99", "p99.99", "Syncs a record"]
PEER_HEADER = ["What", "Store", "Reached", "Spread", "p50", "p99", "p99.99", "Syncs a record"]
PEER_HEADER += ["cairnlog to it", "Target"]


def amount(value: float, unit: str) -> str:
    """A figure as a person reads it."""
    if unit == "us":
        return f"{value:.1f} us"
    if unit == "bytes":
        return f"{value / (1 << 20):.1f} MiB"
    if unit == "wake-ups/s":
        return f"{value:.1f} /s"
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}{'B/s' if unit == 'bytes/s' else '/s'}"
    return f"{value:.0f} /s"


def ends(spread: dict[str, float], unit: str) -> str:
    """Smallest and largest."""
    return " to ".join(amount(spread[end], unit) for end in ("min", "max"))


def target_text(row: dict, of: str = "of the floor") -> str:
    """What is to be reached, and whether it was."""
    if row["target"] is None:
        return ""
    ((kind, value),) = row["target"].items()
    text = {
        "at_least": lambda: f">= {amount(value, row['unit'])}",
        "at_most": lambda: f"<= {amount(value, row['unit'])}",
        "ratio_at_least": lambda: f">= {value:g} {of}",
        "ratio_at_most": lambda: f"<= {value:g} {of}",
    }[kind]()
    return text.rstrip() + (", met" if row["met"] else ", missed")


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


def times(measured: dict) -> list[str]:
    """Latencies, and the syncs of a record."""
    latencies = [amount(measured["latency"][name]["median"] / 1000, "us") for name in LATENCIES]
    syncs = measured["syncs_per_record"]
    return [*latencies, "not counted" if syncs is None else f"{syncs:.3g}"]


def peer_lines(rows: list[dict]) -> Iterator[list[str]]:
    """Under each work cairnlog, its floor, and the other stores."""
    for own in (row for row in rows if "latency" in row and "peer" not in row):
        unit, work = own["unit"], own["name"]
        peers = [row for row in rows if "peer" in row and row["work"] == work]
        if not peers:
            continue
        yield [work, "cairnlog", *reached(own["value"], unit), *times(own), "", ""]
        floor = [f"floor: {own['floor_name']}", *reached(own["floor"], unit)]
        yield ["", *floor, "", "", "", "", f"{own['ratio']['median']:.3g}", ""]
        for row in peers:
            judged = [f"{row['ratio']['median']:.3g}", target_text(row, "")]
            yield ["", row["peer"], *reached(row["value"], unit), *times(row), *judged]


def reached(spread: dict[str, float], unit: str) -> list[str]:
    """The middle, and both ends."""
    return [amount(spread["median"], unit), ends(spread, unit)]


def table(header: list[str], lines: Iterable[list[str]]) -> list[str]:
    """Markdown."""
    head = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return head + ["| " + " | ".join(line) + " |" for line in lines]


def markdown(machine: dict, rows: list[dict], remarks: list[str]) -> str:
    """The machine, all tables, and what there are no figures of."""
    before, after = machine["load_average"]
    text = f"{machine['cpu']}, {machine['system']} {machine['release']}; load average {before:.1f}"
    text += f" when it began, with what else ran there, {after:.1f} when it ended."
    by = machine["syncs_counted_by"]
    text += f" Syncs are those that {by} counted." if by else " Nothing here can count syncs."
    lines = [text, "", *table(HEADER, (cells(row) for row in rows if "peer" not in row))]
    appends = [row for row in rows if "latency" in row and "peer" not in row]
    if appends:
        lines += ["", *table(LATENCY_HEADER, ([row["name"], *times(row)] for row in appends))]
    peers = list(peer_lines(rows))
    if peers:
        lines += ["", *table(PEER_HEADER, peers)]
    lines += ["", *(f"* {remark}" for remark in remarks)] if remarks else []
    return "\n".join(lines) + "\n"
