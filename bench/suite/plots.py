"""Draws the rows of a run: throughput against waiters, latencies, throughput over time, soak.

    bench/plot.sh FILE.json DIRECTORY

The same rows give the same bytes. A plot whose rows are missing is not drawn.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
from collections.abc import Callable

import matplotlib

matplotlib.use("svg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, NullFormatter

# Colours that the colour-blind tell apart (Okabe and Ito); ours first, the floor's second.
COLOURS = ["#0072B2", "#000000", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999"]
MARKERS = ["o", "", "s", "^", "D", "v", "P", "X"]
OURS, FLOOR = "cairnlog", "floor"

STYLE = {
    "svg.hashsalt": "cairnlog",
    # Text stays text: small files, in the font of whoever looks.
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
}
PERCENTILES = {"p50_ns": "p50", "p99_ns": "p99", "p9999_ns": "p99.99"}
WAITERS = re.compile(r"\bsync append, 1024 B, (\d+) threads?$")


def source(row: dict) -> str:
    """Whose row it is."""
    return row.get("peer") or OURS


def look(number: int) -> dict:
    """Colour and marker of a line: ours first, then the floor, whose looks no peer has."""
    own = 2
    if number >= len(COLOURS):
        number = own + (number - own) % (len(COLOURS) - own)
        return {"color": COLOURS[number], "marker": "*", "linestyle": ":"}
    style = "--" if number == 1 else "-"
    return {"color": COLOURS[number], "marker": MARKERS[number], "linestyle": style}


def waiter_lines(rows: list[dict]) -> dict[str, dict[int, dict]]:
    """The spread for each number of waiters, by whose it is: ours, the floor, peers by name."""
    lines: dict[str, dict[int, dict]] = {OURS: {}, FLOOR: {}}
    for row in rows:
        found = WAITERS.search(row["name"])
        if found:
            lines.setdefault(source(row), {})[int(found[1])] = row["value"]
            if source(row) == OURS:
                lines[FLOOR][int(found[1])] = row["floor"]
    peers = sorted(lines.keys() - {OURS, FLOOR})
    return {name: dict(sorted(lines[name].items())) for name in [OURS, FLOOR, *peers]}


def draw_waiters(rows: list[dict]) -> Figure | None:
    """Synced records a second against threads that wait."""
    lines = waiter_lines(rows)
    if len(lines[OURS]) < 2:
        return None
    figure = Figure(figsize=(7.2, 4.6))
    axes = figure.add_subplot()
    for number, (name, spreads) in enumerate(lines.items()):
        medians = [spread["median"] for spread in spreads.values()]
        ends = [
            [spread["median"] - spread["min"] for spread in spreads.values()],
            [spread["max"] - spread["median"] for spread in spreads.values()],
        ]
        label = "pwrite and fdatasync, one by one" if name == FLOOR else name
        axes.errorbar(
            list(spreads), medians, ends, label=label, capsize=3, markersize=6,
            linewidth=2.4 if name == OURS else 1.4, **look(number),
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = sorted({count for spreads in lines.values() for count in spreads})
    axes.set_xticks(ticks, [str(count) for count in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    label_rates(axes)
    axes.set_xlabel("threads that append and wait")
    axes.set_title("Durable appends, 1 KiB (median, smallest and largest of the rounds)")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def label_rates(axes: Axes) -> None:
    """Records a second, as 20 k or 3 M."""
    axes.yaxis.set_major_formatter(EngFormatter(sep=" "))
    axes.set_ylabel("records per second")


def time_text(microseconds: float, _position: int | None = None) -> str:
    """A time as a person reads it."""
    if microseconds >= 1000:
        return f"{microseconds / 1000:g} ms"
    return f"{microseconds:g} us"


def draw_latencies(rows: list[dict]) -> Figure | None:
    """Percentiles of the latency of our appends."""
    rows = [row for row in rows if "latency" in row and source(row) == OURS]
    if not rows:
        return None
    figure = Figure(figsize=(7.2, 1.6 + 0.34 * len(rows)))
    axes = figure.add_subplot()
    places = range(len(rows))
    times = {
        name: [row["latency"][name]["median"] / 1000 for row in rows] for name in PERCENTILES
    }
    axes.hlines(places, times["p50_ns"], times["p9999_ns"], color="#bbbbbb", linewidth=2, zorder=1)
    for number, (name, label) in zip((0, 5, 2), PERCENTILES.items(), strict=True):
        style = look(number) | {"linestyle": ""}
        axes.plot(times[name], places, label=label, markersize=7, **style)
    axes.set_yticks(places, [row["name"] for row in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(time_text))
    axes.set_xlabel("time until an append is acknowledged")
    axes.set_title("Latency percentiles, medians of the rounds")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def draw_rollovers(rows: list[dict]) -> Figure | None:
    """Records a second over time, with the ends of files."""
    found = [row for row in rows if "series" in row]
    if not found:
        return None
    row, series = found[0], found[0]["series"]
    slice_ms = series["slice_ms"]
    figure = Figure(figsize=(7.2, 3.6))
    axes = figure.add_subplot()
    shown = [(OURS, "slices", "-", 2), ("floor: copy and CRC, mapped", "floor_slices", "--", 1.4)]
    for number, (label, name, style, width) in enumerate(shown):
        # The last slice was not over when everything was appended.
        rates = [1000 * count / slice_ms for count in series[name][:-1] or series[name]]
        edges = [slice_ms * edge for edge in range(len(rates) + 1)]
        axes.stairs(
            rates, edges, baseline=None, label=label, color=COLOURS[number], linestyle=style,
            linewidth=width,
        )
    axes.vlines(
        series["rollovers_ms"], 0, 0.04, transform=axes.get_xaxis_transform(), color=COLOURS[2],
        linewidth=2, label="first record of a new file",
    )
    highest = max(max(series[name]) for _, name, _, _ in shown)
    axes.set_ylim(0, 1.1 * 1000 * highest / slice_ms)
    axes.set_xlim(left=0)
    label_rates(axes)
    axes.set_xlabel(f"time in ms, in slices of {slice_ms} ms")
    axes.set_title(row["name"][0].upper() + row["name"][1:])
    figure.legend(loc="outside lower center", ncols=3)
    return figure


# What is drawn together, in which unit, and how many of what was measured make one of it.
SOAK_PANELS = {
    "MiB": ({"anonymous_kib": "memory that is no file's", "store_kib": "files on disk"}, 1024),
    "number": ({"descriptors": "descriptors", "mappings": "mappings", "threads": "threads"}, 1),
}


def draw_soak(rows: list[dict]) -> Figure | None:
    """What a process holds over a long time of mixed use."""
    found = [row for row in rows if "samples" in row]
    if not found:
        return None
    samples = [sample for sample in found[0]["samples"] if not sample["ended"]]
    minutes = [sample["seconds"] / 60 for sample in samples]
    figure = Figure(figsize=(7.2, 4.6))
    panels = figure.subplots(len(SOAK_PANELS), sharex=True)
    colours = iter(COLOURS)
    for axes, (unit, (lines, divisor)) in zip(panels, SOAK_PANELS.items(), strict=True):
        for name, label in lines.items():
            values = [sample[name] / divisor for sample in samples]
            axes.plot(minutes, values, label=label, color=next(colours), linewidth=1)
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=0)
    panels[-1].set_xlabel("minutes")
    last = samples[-1]
    panels[0].set_title(f"{last['appended']:,} appends, opened {last['lives']} times")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


PLOTS: dict[str, Callable[[list[dict]], Figure | None]] = {
    "durable-appends": draw_waiters,
    "latencies": draw_latencies,
    "rollovers": draw_rollovers,
    "soak": draw_soak,
}


def main() -> None:
    """Draws everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", type=pathlib.Path, help="what bench/run.py wrote")
    parser.add_argument("directory", type=pathlib.Path, help="where plots come")
    parser.add_argument("--format", choices=["svg", "png"], default="svg")
    arguments = parser.parse_args()
    rows = json.loads(arguments.rows.read_text(encoding="utf-8"))["rows"]
    arguments.directory.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        for name, draw in PLOTS.items():
            figure = draw(rows)
            if figure is not None:
                file = arguments.directory / f"{name}.{arguments.format}"
                metadata = {"Date": None} if arguments.format == "svg" else None
                figure.savefig(file, metadata=metadata, dpi=110)


if __name__ == "__main__":
    main()
