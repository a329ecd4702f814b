"""Nothing keeps people out: axe-core finds nothing on any page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from browser.places import places
from browser.watching import unfold, violations

if TYPE_CHECKING:
    from browser.serving import Served
    from browser.watching import OpenPage


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
        found += [f"{name}: {each}" for each in violations(page, axe)]
    assert not found, "\n".join(found)
