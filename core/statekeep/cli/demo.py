"""``statekeep demo``."""

from __future__ import annotations

import shlex
import shutil
import sys
from importlib.util import find_spec

from statekeep.cli import output
from statekeep.cli.options import StoreUrl, settings_for
from statekeep.config.opening import open_sessions
from statekeep.documents.documents import Documents

__all__ = ["demo"]


def demo(store: StoreUrl = None) -> None:
    """Store a short conversation and two documents, and say where they are.

    For example: statekeep demo --store ./try-it
    """
    with open_sessions(settings_for(store)) as sessions:
        where = str(sessions.store)
        output.print_text(f"The store is {where}", "bold")

        session = sessions.get_or_create("ada")
        session.add_user_message("Plan a parser for our log files.")
        session.add_agent_response(
            "Three steps: read, split, check.", phase_reached="plan", evaluation_passed=True
        )
        sessions.save(session)
        output.print_text()
        output.print_text(f"Saved a conversation as the session {session.id}")

        sessions.update(session.id, lambda latest: latest.add_user_message("Now write it."))
        output.print_text("Added a message with update(), which no other worker can overwrite")

        listing = sessions.list(user_id="ada", limit=5)
        output.print_text()
        output.print_text(f"Ada's newest sessions ({len(listing)} shown):")
        for summary in listing:
            output.print_text(
                f"  {summary.id}  {summary.message_count} messages, phase {summary.last_phase}"
            )

        documents = Documents(sessions.store)
        documents.save_markdown("specs/v1", "parser", "# Parser\n\nRead, split, check.\n")
        documents.save_json("specs/v1", "limits", {"max_line_bytes": 65536})
        markdown = documents.load_markdown("specs/v1", "parser")
        limits = documents.load_json("specs/v1", "limits")
        if markdown and limits:
            output.print_text()
            output.print_text("Wrote two documents and read them back:")
            output.print_text(f"  specs/v1/parser.md    {markdown.value.splitlines()[0]}")
            output.print_text(f"  specs/v1/limits.json  {limits.value}")

    if where.startswith("memory:"):
        output.print_text()
        output.print_text("All of it was in memory, and is gone now.")
        return
    option = f" --store {shlex.quote(store)}" if store else ""
    # The bare name does not work in a virtual environment that is not activated.
    command = "statekeep" if shutil.which("statekeep") == sys.argv[0] else shlex.quote(sys.argv[0])
    output.print_text()
    output.print_text("Look around:")
    output.print_text(f"  {command} sessions list{option}")
    output.print_text(f"  {command} sessions show {session.id}{option}")
    output.print_text(f"  {command} documents list{option}")
    output.print_text(f"  {command} documents show specs/v1 parser{option}")
    output.print_text()
    is_there = find_spec("starlette") and find_spec("uvicorn")
    needed = "" if is_there else ", after pip install 'statekeep[web]'"
    output.print_text(f"Or in the browser{needed}:")
    output.print_text(f"  {command} browse{option}")
