"""A page in Chromium, and all that it did besides what it shows."""

from __future__ import annotations

from collections.abc import Callable, Collection
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


_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_RUN = """async (tags) => {
  const found = await axe.run(document, { runOnly: { type: "tag", values: tags } });
  return found.violations.map((each) => [
    each.id, each.help, each.nodes.slice(0, 3).map((node) => [node.html, node.failureSummary]),
  ]);
}"""


def violations(
    page: Page, axe: str, *, best_practice: bool = True, ignored: Collection[str] = ()
) -> list[str]:
    """What keeps people out of a page, as axe-core finds it.

    Args:
        page: Its content security policy must let in a script.
        axe: The script of axe-core.
        best_practice: Whether what no standard asks for counts.
        ignored: Names of rules that do not count.
    """
    page.evaluate(axe)
    tags = [*_TAGS, "best-practice"] if best_practice else _TAGS
    found: list[str] = []
    for rule, wanted, nodes in page.evaluate(_RUN, tags):
        if rule not in ignored:
            found += [f"{rule}: {wanted}", *(f"  {html}: {why}" for html, why in nodes)]
    return found
