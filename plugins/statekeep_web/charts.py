"""Charts as SVG, each with its figures for a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from statekeep._text import printable
from statekeep.views.wording import size

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Chart", "bars", "columns"]

_WIDTH: Final = 440
_LABEL: Final = 20
"""The most characters of a label that fit."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart and its figures.

    Attributes:
        svg: The chart; hidden from screen readers, which read the rows instead.
        rows: Labels and figures as text.
    """

    svg: Markup
    rows: Sequence[tuple[str, str]]


def bars(values: Sequence[tuple[str, int]], *, as_size: bool = False) -> Chart:
    """Draw horizontal bars, each with its label and figure.

    Args:
        values: Labels and figures, in order.
        as_size: Whether the figures are bytes.
    """
    rows = [(label, size(value) if as_size else str(value)) for label, value in values]
    most = max((value for _, value in values), default=0) or 1
    step, left, room = 22, 135, _WIDTH - 135 - 70
    parts = []
    for number, ((label, value), (_, said)) in enumerate(zip(values, rows, strict=True)):
        top = number * step
        width = round(room * value / most, 1)
        parts.append(
            Markup(
                '<text x="{}" y="{}" text-anchor="end">{}</text>'
                '<rect x="{}" y="{}" width="{}" height="14" rx="2"></rect>'
                '<text x="{}" y="{}">{}</text>'
            ).format(
                left - 8, top + 15, _short(label), left, top + 4, max(width, 1),
                left + max(width, 1) + 6, top + 15, said,
            )
        )  # fmt: skip
    return Chart(_svg(_WIDTH, max(len(values), 1) * step + 4, parts), rows)


def columns(values: Sequence[tuple[str, int]]) -> Chart:
    """Draw columns, of which the first and last are labelled.

    Args:
        values: Labels and figures, in order.
    """
    rows = [(label, str(value)) for label, value in values]
    most = max((value for _, value in values), default=0) or 1
    height, left = 130, 40
    step = (_WIDTH - left) / max(len(values), 1)
    parts = [
        Markup(
            '<text x="{}" y="12" text-anchor="end">{}</text>'
            '<text x="{}" y="{}" text-anchor="end">0</text>'
            '<line x1="{}" y1="{}" x2="{}" y2="{}"></line>'
        ).format(left - 6, most, left - 6, height, left, height + 0.5, _WIDTH, height + 0.5)
    ]
    for number, (label, value) in enumerate(values):
        tall = round(height * value / most, 1)
        parts.append(
            Markup(
                '<rect x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>'
            ).format(
                round(left + number * step + step * 0.1, 2), round(height - tall, 1),
                round(min(step * 0.8, 40), 2), tall, label, value,
            )
        )  # fmt: skip
    if values:
        ends = [(left, "start", values[0][0]), (_WIDTH, "end", values[-1][0])]
        parts += [
            Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(x, height + 18, at, day)
            for x, at, day in ends[: len(values)]
        ]
    return Chart(_svg(_WIDTH, height + 26, parts), rows)


def _svg(width: int, height: int, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" width="{}" height="{}" aria-hidden="true" '
        'focusable="false">{}</svg>'
    ).format(width, height, width, height, Markup().join(parts))


def _short(label: str) -> str:
    shown = printable(label)
    return shown if len(shown) <= _LABEL else f"{shown[: _LABEL - 1]}…"
