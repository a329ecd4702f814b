"""Legal ids and names that have broken programs."""

from __future__ import annotations

__all__ = ["hostile_ids", "hostile_names"]


def hostile_ids() -> list[str]:
    """Session ids that look like paths, control codes or encodings, or are too long for a file."""
    return [
        "../specs/secret",
        "../../outside",
        "/etc/passwd",
        "slack:C1/17.5",
        "a\\b",
        "..",
        ".",
        "nul\0byte",
        "line\nfeed",
        "\x1b[2J",
        "😀",
        "x" * 512,
        "😀" * 512,
        "%..",
        "%2e%2e%2f",
        "trailing.",
        " ",
        ".json",
        "~root",
    ]


def hostile_names() -> list[str]:
    """Document names that mean something to a shell, a filesystem, a URL or a terminal."""
    return [
        " leading and trailing ",
        ".hidden",
        "trailing.",
        "two.json",
        "ünï 会话 😀",
        "x" * 250,
        "é" * 125,
        "NUL",
        "a:b|c*d?e\"f<g>h'i",
        "%2f%2e%2e",
        "a+b&c=d#e;f",
        "$(touch x)`y`{z}",
        "~root",
        "-rf",
        "\u202egnp",
        "e\u0301",
    ]
