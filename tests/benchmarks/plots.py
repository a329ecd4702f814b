"""How it grows with the number of sessions, drawn. Needs matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.results import ORIGINAL, Results

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.bench import Row

__all__ = ["draw"]

# The same figures make the same file.
mpl.rcParams |= {"svg.hashsalt": "statekeep", "svg.fonttype": "none", "font.size": 9}


def draw(results: Results, folder: Path) -> None:
    """Write ``listing.svg`` and ``requests.svg``, as far as there is something to draw."""
    for place in results.places("listing")[:1]:
        rows = results.of_place("listing", place)
        if results.about["disk"] != place:
            disk = results.of_place("listing", results.about["disk"])
            rows += [row for row in disk if row.subject == ORIGINAL]
        lines = {}
        for row in rows:
            page, _, way = row.work.partition(", ")
            if page == "100" and row.kind == "statekeep":
                lines[f"{row.subject}, {way}"] = row.subject, row.work
            elif page == "100" and way == "new process":
                lines[row.subject] = row.subject, row.work
        title = f"Listing a page of 100 ({place})"
        _draw(rows, lines, title, "seconds", folder / "listing.svg")
    rows = [row for row in results.rows if row.part == "requests" and "list" in row.work]
    lines = {
        f"{row.subject}, {row.work.removeprefix('list, ')}": (row.subject, row.work) for row in rows
    }
    if rows:
        title = "Listing a page of 100 on S3"
        _draw(rows, lines, title, "requests", folder / "requests.svg")


def _draw(
    rows: Iterable[Row], lines: dict[str, tuple[str, str]], title: str, unit: str, path: Path
) -> None:
    rows = [*rows]
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for label, key in lines.items():
        points = sorted(
            (int(row.size.replace(",", "")), row) for row in rows if (row.subject, row.work) == key
        )
        xs = [number for number, _ in points]
        ys = [row.median for _, row in points]
        ours = points[0][1].kind == "statekeep"
        style: dict[str, Any] = {"marker": "o", "linewidth": 2.2 if ours else 1}
        axes.plot(xs, ys, label=label, linestyle="-" if ours else "--", **style)
    axes.set(xscale="log", yscale="log", xlabel="sessions", ylabel=unit, title=title)
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
