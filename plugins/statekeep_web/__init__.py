"""A web page that shows sessions and journals, for people who would rather not read JSON.

``statekeep browse`` serves it on this machine; `create_app` returns it as an ASGI application to
serve or mount anywhere. It needs the extra ``web``. The core provides what it shows; this package
has no store logic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from statekeep_web.app import BrowseApp, create_app

__all__ = ["BrowseApp", "create_app"]

_NEEDED = {"jinja2", "markdown_it", "markupsafe", "nh3", "pygments", "starlette"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - imported on first use, to keep the CLI fast
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from statekeep_web import app  # noqa: PLC0415 - needs the extra web
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        raise ImportError("the page needs more packages: pip install 'statekeep[web]'") from error
    return getattr(app, name)
