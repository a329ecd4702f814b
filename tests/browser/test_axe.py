"""Nothing keeps people out: axe-core finds nothing on any page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from browser.places import places
from browser.watching import unfold

if TYPE_CHECKING:
    from browser.serving import Served
    from browser.watching import OpenPage

_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN = """async (tags) => {
  const found = await axe.run(document, { runOnly: { type: "tag", values: tags } });
  return found.violations.map((each) => [
    each.id, each.help, each.nodes.slice(0, 3).map((node) => [node.html, node.failureSummary]),
  ]);
}"""


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    site: Served, open_page: OpenPage, axe: str, scheme: str, width: int
) -> None:
    # The page lets no script in but its own, so for axe that is set aside.
    page = open_page(
        site,
        bypass_csp=True,
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
        reduced_motion="reduce",
    ).page
    found: list[str] = []
    for name, address in places(site).items():
        page.goto(address)
        # What is folded counts, too.
        unfold(page)
        page.evaluate(axe)
        for rule, wanted, nodes in page.evaluate(_RUN, _TAGS):
            found += [f"{name}: {rule}: {wanted}", *(f"  {html}: {why}" for html, why in nodes)]
    assert not found, "\n".join(found)
