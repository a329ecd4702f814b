"""What the site does with the pages besides building them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File
from typer import Context
from typer.main import get_command

from statekeep.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_LINK = re.compile(r"(\]\()(?!\w+:|#|/)([^)#\s]+)([^)]*\))")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the changelog, which lies at the root of the repository, and the help of each command."""
    text = Path(config.config_file_path).with_name("CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "changelog.md", content=text))
    commands: Any = get_command(app)
    text = "\n".join(
        [
            "# Commands",
            "",
            *_help(commands, Context(commands, info_name="statekeep", terminal_width=88)),
        ]
    )
    files.append(File.generated(config, "reference/commands.md", content=text))
    return files


def _help(command: Any, context: Any) -> Iterator[str]:  # noqa: ANN401 - typer's own click
    """The help of a command and of those below it, in Markdown."""
    yield from [f"## {context.command_path}", "", "```text", command.get_help(context), "```", ""]
    for name in command.list_commands(context) if hasattr(command, "list_commands") else []:
        below = command.get_command(context, name)
        yield from _help(below, Context(below, info_name=name, parent=context))


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to files of the repository, which the site does not have, lead there."""
    folder = posixpath.dirname(page.file.src_uri)

    def lead(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join("docs", folder, link[2]))
        target = files.get_file_from_path(posixpath.relpath(path, "docs"))
        if target is not None and target.inclusion.is_included():
            return link[0]
        return f"{link[1]}{config.repo_url}/blob/main/{path}{link[3]}"

    return _LINK.sub(lead, markdown)
