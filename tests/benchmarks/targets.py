"""How fast statekeep wants to be, and whether it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.results import ORIGINAL, Results, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Verdict", "verdicts"]

Verdict = tuple[str, str, str, bool]
"""What is wanted, at most how much, how much it is, and whether that is enough."""

_CAS = "bare calls"
_RENAME = "statekeep, rename"


def verdicts(results: Results) -> Iterator[Verdict]:
    """Compare what was measured with what is wanted; what was not measured is left out."""
    memory, disk = results.about["memory"], results.about["disk"]
    for size in ("10 x 200", "200 x 500"):
        for work in ("save", "load"):
            key = ("turns", disk, work, size)
            yield from _ratio(results, key, _RENAME, ORIGINAL, 1)
        for place in dict.fromkeys(filter(None, (memory, disk))):
            yield from _ratio(results, ("turns", place, "save", size), _RENAME, _CAS, 1.2)
            yield from _ratio(results, ("turns", place, "load", size), _RENAME, "bare json", 1.35)
        key = ("turns", disk, "save", size)
        yield from _ratio(results, key, "statekeep, fsync", f"{_CAS}, fsync", 1.15)
    original = results.find("listing", disk, "all, new process", "10,000", ORIGINAL)
    for work, limit in (
        ("100, new process", 1 / 12),
        ("all, new process", 1 / 6),
        ("all, no index", 1),
    ):
        row = results.find("listing", disk, work, "10,000", _RENAME)
        if row and original:
            what = f"{disk}, list {work}, 10,000: {_RENAME} ÷ {ORIGINAL}"
            yield _verdict(what, limit, ratio(row, original))
    yield from _ratio(results, ("pruning", disk, "half", "10,000"), _RENAME, ORIGINAL, 1 / 3)
    for client, together in (("s3fs", 1 / 1.6), ("obstore", 1 / 5)):
        for work in ("save", "load"):
            key = ("turns", "SeaweedFS", work, "10 x 200")
            yield from _ratio(results, key, f"statekeep, {client}", "bare boto3", 1 / 0.9)
        for work, size in (
            ("put bytes", "32 at once"),
            ("get bytes", "32 at once"),
            ("load", "32 threads"),
        ):
            key = ("fleet", "SeaweedFS", work, size)
            yield from _ratio(results, key, f"statekeep, {client}", "bare boto3", together)
    for row in results.rows:
        if row.work == "memory for each":
            what = f"{row.place}, bytes of memory for each of {row.size} listed"
            yield what, "1024", f"{row.median:.0f}", row.median <= 1024
    for ours, base in (
        ("import statekeep", "import pydantic"),
        ("import Sessions, open_store", "a pydantic model"),
    ):
        row = results.find("starting", "a new process", "start", "", ours)
        floor = results.find("starting", "a new process", "start", "", base)
        if row and floor:
            more = 1000 * (row.median - floor.median)
            yield f"{ours}, less {base}", "100 ms", f"{more:.0f} ms", more <= 100


def _ratio(
    results: Results, key: tuple[str, str, str, str], ours: str, other: str, limit: float
) -> Iterator[Verdict]:
    row, base = results.find(*key, ours), results.find(*key, other)
    if row and base:
        yield _verdict(f"{key[1]}, {key[2]} {key[3]}: {ours} ÷ {other}", limit, ratio(row, base))


def _verdict(what: str, limit: float, measured: float) -> Verdict:
    return what, f"{limit:.2f}", f"{measured:.2f}", measured <= limit
