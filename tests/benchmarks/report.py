"""Tables for the terminal and for the page; they are the same text."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from benchmarks.machine import Watch
from benchmarks.results import Ratio, Results, differences
from benchmarks.targets import behind, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from benchmarks.bench import Row

__all__ = ["comparison", "render", "update_page"]

BEGIN, END = "<!-- what follows is written by make bench -->", "<!-- end of it -->"
_TITLES = {
    "sessions": "one session",
    "buckets": "one session on S3",
    "databases": "one session in a database",
}


def render(results: Results) -> str:
    """All tables, in Markdown that is as readable in a terminal."""
    return "\n\n".join(_sections(results)) + "\n"


def update_page(page: Path, text: str) -> None:
    """Put tables between the two marks of a page."""
    before, found, rest = page.read_text().partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise ValueError(f"{page} has no place for the tables")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")


def comparison(before: Results, now: Results) -> str:
    """Which ratios of two runs differ, and by how much."""
    both, found = differences(before, now)
    if not both:
        return "The run before has no ratio of this one.\n"
    lines = [f"{len(found)} of {both} ratios differ by more than 15 % from the run before."]
    if found:
        rows = [[what, f"{one:.2f}", f"{other:.2f}"] for what, one, other in found]
        lines.append(_table(["what", "before", "now"], rows))
    return "\n\n".join(lines) + "\n"


def _sections(results: Results) -> Iterator[str]:
    about = results.about
    numbers = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    yield (
        f"Measured on {about['date']} in {about['minutes']} minutes, {about['rounds']} rounds: "
        f"{about['cores']} cores ({about['processor']}), {about['system']}, Python "
        f"{about['python']}; load {about['load'][0]} before and {about['load'][1]} after; others "
        f"had {about['others']:.1%} of the processors, the host {about['stolen']:.1%}; a fixed "
        f"piece of work took {about['pace'][0]} to {about['pace'][2]} ms. {numbers}."
    )
    if doubt := Watch.doubt(about):
        yield f"**The machine was too busy to believe this: {doubt}.**"
    if about["quick"]:
        yield "**This was a quick run: too short for ratios that agree within 15 %.**"
    judged = [*verdicts(results)]
    if judged:
        yield "### Bounds"
        bounds = (
            [each.what, f"{each.most:g}", f"{each.stretch:g}", _measured(each.measured),
             "yes" if each.met else "**no**"]
            for each in judged
        )  # fmt: skip
        yield _table(["what", "at most", "at best", "measured", "met"], bounds)
    slower = [*behind(results)]
    if any(row.kind == "peer" for row in results.rows):
        yield "### Where others with equal or weaker guarantees are ahead"
        if slower:
            lines = (
                [f"{row.place}, {row.size}, {row.work}", peer.subject, _measured(ratio)]
                for row, peer, ratio in slower
            )
            yield _table(["what", "ahead", "statekeep takes"], lines)
        else:
            yield "Nowhere."
    for (part, place, size), rows in _tables(results).items():
        yield f"### {_TITLES.get(part, part).capitalize()} ({place}, {size})"
        yield _of_rows(results, rows)


def _tables(results: Results) -> dict[tuple[str, str, str], list[Row]]:
    tables: dict[tuple[str, str, str], list[Row]] = {}
    for row in results.rows:
        tables.setdefault(row.line[:3], []).append(row)
    return tables


def _of_rows(results: Results, rows: list[Row]) -> str:
    """A line for each subject, a column for each kind of work."""
    columns = [*dict.fromkeys(row.work for row in rows)]
    lines = []
    for subject in dict.fromkeys(row.subject for row in rows):
        cells = {row.work: _cell(results, row) for row in rows if row.subject == subject}
        lines.append([subject, *(cells.get(work, "") for work in columns)])
    return _table(["", *columns], lines)


def _cell(results: Results, row: Row) -> str:
    middle = statistics.median(row.wall)
    if row.unit in {"requests", "B"}:
        return f"{middle:,.0f}{' B' if row.unit == 'B' else ''}"
    rate = row.unit == "1/s"
    text = f"{middle:,.0f}/s" if rate else _seconds(statistics.median(row.cpu), middle)
    base = results.base(row)
    return text if row is base else f"{text} {_measured(results.ratio(row, base))}"


def _seconds(cpu: float, wall: float) -> str:
    scale, unit = (1e3, "ms") if wall >= 1e-3 else (1e6, "µs")
    if wall >= 1:
        scale, unit = 1, "s"
    return f"{cpu * scale:.3g} / {wall * scale:.3g} {unit}"


def _measured(value: Ratio | float) -> str:
    if isinstance(value, Ratio):
        return f"x{value.median:.2f} ({value.least:.2f}-{value.most:.2f})"
    return f"{value:,.0f}"


def _table(heads: list[str], lines: Iterable[list[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
