"""The JSON Schema of what each command prints with ``--json``: ``python tests/schemas.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from statekeep.views.results import OPEN, RESULTS

FOLDER = Path(__file__).parents[1] / "docs" / "schemas"


def files() -> dict[str, str]:
    """By name, what the files in the folder are to hold."""
    return {
        f"{command.replace(' ', '-')}.json": json.dumps(_schema(command), indent=2) + "\n"
        for command in RESULTS
    }


def _schema(command: str) -> dict[str, Any]:
    made = TypeAdapter(RESULTS[command]).json_schema()
    _close(made)
    made.pop("title", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"statekeep {command} --json",
        **made,
    }


def _close(schema: Any) -> None:
    """Allow no fields but those described, and leave out titles that say what names say."""
    if isinstance(schema, list):
        for each in schema:
            _close(each)
    elif isinstance(schema, dict):
        if "properties" in schema:
            schema["additionalProperties"] = schema.get("title") in OPEN
            for each in schema["properties"].values():
                each.pop("title", None)
        for each in schema.values():
            _close(each)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text)
