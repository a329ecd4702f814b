"""What the site does with the pages besides building them."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_LINK = re.compile(r"(\]\()(?!\w+:|#|/)([^)#\s]+)([^)]*\))")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Show the changelog, which lies where people look for it in a repository."""
    text = Path(config.config_file_path).with_name("CHANGELOG.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "changelog.md", content=text))
    return files


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
