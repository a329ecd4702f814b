"""The tables of `docs/comparison.md` and the README, made from what a run has written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.machine import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

__all__ = ["read", "render", "summarize", "write"]

_NOT_ITS_JOB = "not its job"
_STORES_OF_KEYS = ("py-key-value", "diskcache")
_JOURNAL = ", journal"
_STORES = {
    "statekeep": "folder, SQLite, PostgreSQL, Valkey, S3, fsspec, memory, plugins",
    "openai-agents": "SQLite, SQLAlchemy, Redis, MongoDB, Dapr",
    "langgraph": "SQLite, PostgreSQL, Redis, memory and others, each a package",
    "strands": "files, S3, your own",
    "google-adk": "SQLAlchemy, SQLite, Vertex AI, memory",
    "pydantic-ai-harness": "SQLite, memory",
    "py-key-value": "some twenty, from memory to DynamoDB",
    "diskcache": "SQLite with files",
}
"""From their documentation, by the first word of a candidate's name."""


def write(path: Path, results: dict[str, Any]) -> None:
    """Write what `compare` gave."""
    path.write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n")


def read(path: Path) -> dict[str, Any]:
    """Read what `write` wrote.

    Raises:
        ValueError: Something else wrote it.
    """
    results: dict[str, Any] = json.loads(path.read_text())
    if results.get("format") != 1:
        raise ValueError(f"{path} was not written by this version of the benchmark")
    return results


def render(results: dict[str, Any]) -> str:
    """The table, in Markdown, and what it was measured with."""
    return "\n\n".join(_sections(results)) + "\n"


def _sections(results: dict[str, Any]) -> Iterator[str]:
    about, scale = results["about"], results["about"]["scale"]
    numbers = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    yield (
        f"Run on {about['date']} in {about['minutes']} minutes: {about['cores']} cores "
        f"({about['processor']}), {about['system']}, {about['disk']}, Python {about['python']}; "
        f"load {about['load'][0]} before and {about['load'][1]} after. {numbers}."
    )
    if doubt := Watch.doubt(about):
        yield (
            f"**Others worked on this machine at the same time ({doubt}), so times are rough.** "
            "Files and bytes do not depend on that; how many turns a race loses is never the same."
        )
    questions: dict[str, tuple[str, Callable[[str, dict[str, Any]], str]]] = {
        "race": (
            f"two processes, {scale['changes']} turns each, one conversation: turns kept",
            _race,
        ),
        "kills": (f"{scale['kills']} writers killed in the middle of saves", _kills),
        "ids": ("the ids `../../escape`, `a/b`, 300 characters, 😀 and the empty one", _ids),
        "listing": (f"newest 20 of {scale['crowd']:,}, read by a new process", _listing),
        "turn": (f"1 KB more after {scale['turns']:,} turns of 1 KB: written", _turn),
        "deletion": ("saved between a look and the deletion it led to", _deletion),
        "users": ("another user opens it by its id", _users),
    }
    found = results["found"]
    names = [name for name in next(iter(found.values())) if not name.endswith(_JOURNAL)]
    asked = {name: each for name, each in questions.items() if name in found}
    lines = [["", *(label for label, _ in asked.values())], ["---"] * (len(asked) + 1)]
    for name in names:
        cells = (_cells(name, found[question], cell) for question, (_, cell) in asked.items())
        lines.append([f"**{name}**", *cells])
    yield _table(lines)


def summarize(results: dict[str, Any]) -> str:
    """A short table for the README, in Markdown, and what it was measured with."""
    found, scale = results["found"], results["about"]["scale"]
    lines = [
        [
            "",
            f"turns kept of {2 * scale['changes']} by two workers",
            f"after {scale['kills']} kills in the middle of saves",
            "saved just before it is deleted as old",
            f"written for one more KB after {scale['turns']:,}",
            f"newest 20 of {scale['crowd']:,}",
            "stores",
        ],
        ["---"] * 7,
    ]
    for name in found["race"]:
        broken = any(found["kills"][name][each] for each in ("lost", "torn", "unreadable"))
        plain = name.startswith(_STORES_OF_KEYS)
        journal = found["turn"].get(name + _JOURNAL)
        turn = _bytes(found["turn"][name]["bytes"])
        deletion, listing = found["deletion"][name], found["listing"][name]
        kept, acknowledged = (found["race"][name][each] for each in ("kept", "acknowledged"))
        lines.append([
            name,
            str(kept) if kept == acknowledged else f"**{kept}**",
            "**damaged or lost**" if broken else "whole",
            ("deleted" if plain else "**deleted**") if deletion["deleted"] else "kept",
            f"{_bytes(journal['bytes'])} as a journal, else {turn}" if journal else turn,
            _seconds(listing["again"]["seconds"]) if listing else "no listing",
            _STORES[name.partition(",")[0]],
        ])  # fmt: skip
    numbers = ", ".join(f"{name} {number}" for name, number in results["about"]["versions"].items())
    return f"{_table(lines)}\n\nMeasured on {results['about']['date']} with {numbers}.\n"


def _table(lines: Iterable[Iterable[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(
    name: str, found: dict[str, dict[str, Any]], cell: Callable[[str, dict[str, Any]], str]
) -> str:
    text = cell(name, found[name])
    journal = found.get(name + _JOURNAL)
    if journal is None:
        return text
    return f"journal: {cell(name, journal)}; one document, the default: {text}"


def _race(_: str, fact: dict[str, Any]) -> str:
    text = f"{fact['kept']} of {fact['acknowledged']}"
    if fact["kept"] < fact["acknowledged"]:
        text = f"**{text}**"
    if fact["errors"]:
        errors = " and ".join(f"{count} `{kind}`" for kind, count in fact["errors"].items())
        text += f"; told by {errors}, and tried again"
    if fact["twice"]:
        text += f"; {fact['twice']} are there twice"
    if "in history" in fact:
        text += f"; {fact['in history']} in the history of checkpoints"
    return text


def _kills(_: str, fact: dict[str, Any]) -> str:
    if not (fact["lost"] or fact["torn"] or fact["unreadable"]):
        return f"whole, all {fact['acknowledged']:,} acknowledged turns are there"
    parts = [
        f"{fact['lost']} of {fact['acknowledged']:,} acknowledged lost" if fact["lost"] else "",
        f"{fact['torn']} times not whole" if fact["torn"] else "",
        f"{fact['unreadable']} times it could not be read" if fact["unreadable"] else "",
    ]
    return f"**{'; '.join(filter(None, parts))}**"


def _ids(_: str, fact: dict[str, Any]) -> str:
    groups: dict[str, list[str]] = {}
    for session, verdict in fact.items():
        groups.setdefault(verdict.partition(" (")[0], []).append(session)
    if set(groups) == {"kept"}:
        return "all kept, none leads out"
    parts = [f"{verdict}: {', '.join(_quoted(each) for each in them)}"
             for verdict, them in groups.items()]  # fmt: skip
    return "; ".join(parts)


def _quoted(session: str) -> str:
    return f"`{session}`" if "/" in session else session


def _listing(name: str, fact: dict[str, Any]) -> str:
    if not fact:
        return _NOT_ITS_JOB if name.startswith(_STORES_OF_KEYS) else "has no listing"
    first, again = (_read(fact[each]) for each in ("first", "again"))
    if all(fact["first"][each] <= 2 * fact["again"][each] for each in ("files", "bytes")):
        return again
    return f"{again}; the first time ever: {first}"


def _read(fact: dict[str, Any]) -> str:
    files = f"{fact['files']:,} files, " if fact["files"] > 1 else ""
    return f"{files}{_bytes(fact['bytes'])}, {_seconds(fact['seconds'])}"


def _turn(_: str, fact: dict[str, Any]) -> str:
    return f"{_bytes(fact['bytes'])}, {_seconds(fact['seconds'])}"


def _deletion(name: str, fact: dict[str, Any]) -> str:
    if not fact:
        return "has no deletion"
    if fact["deleted"]:
        plain = name.startswith(_STORES_OF_KEYS)
        return f"deleted; a condition is {_NOT_ITS_JOB}" if plain else "**deleted**"
    return f"refused by `{fact['told']}`" if fact["told"] else "skipped, and reported"


def _users(name: str, fact: dict[str, Any]) -> str:
    if not fact:
        return _NOT_ITS_JOB if name.startswith(_STORES_OF_KEYS) else "knows no users"
    if fact["result"] == "opened":
        return "**opened**"
    return "not found" if fact["result"] == "nothing" else f"refused by `{fact['result']}`"


def _bytes(count: float) -> str:
    for unit in ("B", "KB"):
        if count < 1_000:
            return f"{count:.3g} {unit}"
        count /= 1_000
    return f"{count:.3g} MB"


def _seconds(seconds: float) -> str:
    scaled, unit = (seconds, "s") if seconds >= 1 else (seconds * 1e3, "ms")
    return f"{float(f'{scaled:.2g}'):g} {unit}"  # never as 1.9e+02
