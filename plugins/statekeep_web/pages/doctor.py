"""The doctor's findings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from statekeep.doctor import diagnose

if TYPE_CHECKING:
    from starlette.responses import Response

    from statekeep_web.visits import Visit

__all__ = ["show_findings"]

_MOST: Final = 500


def show_findings(visit: Visit) -> Response:
    """Show the form and, with `examine`, the findings."""
    if visit.get("examine") is None:
        return visit.render("doctor.html", found=None, most=_MOST)
    return visit.render("doctor.html", found=diagnose(visit.site.store), most=_MOST)
