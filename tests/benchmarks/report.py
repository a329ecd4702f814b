"""Tables for the terminal and for the page; they are the same text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.results import ORIGINAL, Results, ratio
from benchmarks.targets import verdicts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from benchmarks.bench import Row

__all__ = ["render", "update_page"]

_BEGIN, _END = "<!-- what follows is written by make bench -->", "<!-- end of it -->"
_TITLES = {
    "turns": "One session: save and load, exchanges x characters",
    "fleet": "Several at once in one store",
    "listing": "List so many sessions: a page of 100, or all",
    "pruning": "Delete the older half of so many sessions",
    "requests": "Requests on S3",
    "starting": "Starting",
}


def render(results: Results) -> str:
    """All tables, in Markdown that is as readable in a terminal."""
    return "\n\n".join(_sections(results)) + "\n"


def update_page(page: Path, results: Results) -> None:
    """Put the tables between the two marks of a page."""
    before, found, rest = page.read_text().partition(_BEGIN)
    _, ended, after = rest.partition(_END)
    if not (found and ended):
        raise ValueError(f"{page} has no place for the tables")
    page.write_text(f"{before}{_BEGIN}\n\n{render(results)}\n{_END}{after}")


def _sections(results: Results) -> Iterator[str]:
    about = results.about
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    yield (
        f"Measured on {about['date']}: {about['cores']} cores, {about['system']}, "
        f"Python {about['python']}, load {about['load']} at the end. {versions}."
    )
    if about["quick"]:
        yield "**This was a quick run: too short to trust.**"
    judged = [*verdicts(results)]
    if judged:
        yield "### Targets"
        rows = ([*texts, "yes" if met else "**no**"] for *texts, met in judged)
        yield _table(["what", "at most", "measured", "met"], rows)
    for part, title in _TITLES.items():
        for place in results.places(part):
            rows_here = results.of_place(part, place)
            sizes = dict.fromkeys(row.size for row in rows_here)
            # Where each number of sessions has its own columns, it gets its own table.
            split = part in {"listing", "pruning"}
            for chosen in [[size] for size in sizes] if split else [[*sizes]]:
                yield f"### {title} ({', '.join([place, *(chosen if split else ())])})"
                yield _of_rows([row for row in rows_here if row.size in chosen])


def _of_rows(rows: list[Row]) -> str:
    """A line for each subject, a column for each kind of work."""
    columns = [*dict.fromkeys((row.work, row.size) for row in rows)]
    several = len({size for _, size in columns}) > 1
    cells = {(row.subject, row.work, row.size): row for row in rows}
    synced = any(row.synced for row in rows)
    lines = []
    for subject in dict.fromkeys(row.subject for row in rows):
        one = next(row for row in rows if row.subject == subject)
        line = [subject, *([one.synced] if synced else [])]
        for work, size in columns:
            row = cells.get((subject, work, size))
            base = next((each for each in rows if (each.work, each.size) == (work, size)), None)
            line.append(_cell(row, base))
        lines.append(line)
    heads = [" ".join(filter(None, column)) if several else column[0] for column in columns]
    return _table(["", *(["fsync"] if synced else []), *heads], lines)


def _cell(row: Row | None, base: Row | None) -> str:
    if row is None or base is None:
        return ""
    if row.unit in {"requests", "B"}:
        return f"{row.median:,.0f}{' B' if row.unit == 'B' else ''}"
    text = _figure(row.median, row.unit)
    if len(row.rounds) > 1:
        text += f" ({_number(min(row.rounds), row)}-{_number(max(row.rounds), row)})"
    times = ratio(row, base)
    mark = "*" if row.subject == ORIGINAL else ""
    return f"{text} x{times:.{2 if times < 10 else 0}f}{mark}"


def _figure(value: float, unit: str) -> str:
    if unit == "1/s":
        return f"{value:,.0f}/s"
    scale, name = _scale(value)
    return f"{value * scale:.3g} {name}"


def _number(value: float, row: Row) -> str:
    """In the unit of the row's median."""
    if row.unit == "1/s":
        return f"{value:,.0f}"
    shown = value * _scale(row.median)[0]
    return f"{shown:.3g}" if shown < 1000 else f"{shown:.0f}"


def _scale(seconds: float) -> tuple[float, str]:
    if seconds < 1e-3:
        return 1e6, "µs"
    return (1e3, "ms") if seconds < 1 else (1, "s")


def _table(heads: list[str], lines: Iterable[list[str]]) -> str:
    rows = [heads, *lines]
    widths = [max(3, *(len(row[n]) for row in rows)) for n in range(len(heads))]
    rows.insert(1, ["-" * width for width in widths])
    padded = ([cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in padded)
