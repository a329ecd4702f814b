"""A page in Chromium, and all that it did besides what it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page, Request


@dataclass
class Watched:
    """What a context of Chromium did.

    Attributes:
        page: Its page.
        own: The only host and port that may be asked.
        outside: Requests to anywhere else; none of them gets there.
        said: What was written to the console: errors and warnings.
        dialogs: What was asked in a dialog.
        errors: Exceptions of scripts that nobody caught.
    """

    page: Page
    own: str
    outside: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def nothing_happened(self) -> None:
        """Nobody else was asked, nothing complained, no dialog was opened."""
        assert not self.outside
        assert not self.dialogs
        assert not self.errors
        assert not self.said


def watch(context: BrowserContext, own: str) -> Watched:
    """Open a page in a context, and note what it does.

    Args:
        context: Of Chromium.
        own: The host and port of ours.
    """
    page = context.new_page()
    page.set_default_timeout(15_000)
    watched = Watched(page, own)

    def request(request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.netloc != own and parts.scheme not in {"blob", "data"}:
            watched.outside.append(request.url)

    def dialog(opened: Dialog) -> None:
        watched.dialogs.append(opened.message)
        opened.dismiss()

    def console(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            watched.said.append(message.text)

    context.on("request", request)
    context.on("console", console)
    context.on("dialog", dialog)
    context.on("weberror", lambda error: watched.errors.append(str(error.error)))
    return watched


OpenPage = Callable[..., Watched]
"""Opens the link of a `Served` in a context of its own; see the fixture `open_page`."""


def unfold(page: Page) -> None:
    """Open whatever is folded."""
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")
