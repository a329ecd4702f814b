"""The page as an ASGI application."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from statekeep_web.pages import ROUTES
from statekeep_web.rendering import refusal
from statekeep_web.safety import LOCAL, Safety
from statekeep_web.site import open_site
from statekeep_web.tokens import Tokens
from statekeep_web.visits import Workers

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Iterable

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from statekeep.config import Settings
    from statekeep.store import StateStore
    from statekeep.store.transfer import ConflictPolicy
    from statekeep_web.safety import Authenticate

__all__ = ["BrowseApp", "create_app"]


class BrowseApp:
    """The page, an ASGI application; made by `create_app`.

    Attributes:
        token: What the first request must send as ``?token=…`` to get a cookie; None if
            `authenticate` decides.
    """

    def __init__(
        self,
        store: StateStore | Settings | str | os.PathLike[str],
        authenticate: Authenticate | None,
        allow_changes: bool,
        conflicts: ConflictPolicy,
        hosts: Iterable[str],
        secret: str | None,
    ) -> None:
        self._site = open_site(store, allow_changes=allow_changes, conflicts=conflicts)
        tokens = Tokens(secret)
        self.token = tokens.token if authenticate is None else None
        workers = Workers(self._site, tokens)
        routes: list[Any] = [
            Route(each.path, workers.endpoint(each.handler, slow=each.slow), methods=[each.method])
            for each in ROUTES
        ]
        files = StaticFiles(packages=[("statekeep_web", "static")])

        async def icon(request: Request) -> Response:
            # For pages that cannot link to it, such as plain text.
            return await files.get_response("icon.svg", request.scope)

        pages = Starlette(
            routes=[*routes, Route("/favicon.ico", icon), Mount("/static", files)],
            exception_handlers={HTTPException: _say_http, Exception: _say_fault},
            lifespan=self._lifespan,
        )
        pages.router.redirect_slashes = False  # never build an address from the requested path
        self._app = Safety(pages, tokens, authenticate, hosts)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._site.store})"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; see the ASGI specification."""
        await self._app(scope, receive, send)

    def close(self) -> None:
        """Close the store, if the page opened it. A server that serves the page calls this itself.

        A mounted application is not told of the shutdown: call this yourself.
        """
        self._site.close()

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            self.close()


def create_app(
    store: StateStore | Settings | str | os.PathLike[str],
    *,
    authenticate: Authenticate | None = None,
    allow_changes: bool = False,
    conflicts: ConflictPolicy = "detect",
    hosts: Iterable[str] = LOCAL,
    secret: str | None = None,
) -> BrowseApp:
    """Make the page for a store, to serve or mount.

    Args:
        store: The store, which stays open; or a folder, a URL or `Settings`, to open one, which
            `BrowseApp.close` and the server's shutdown close.
        authenticate: Called with each request; decides whether it may see everything in the store.
            True or the caller's name allows it; False or None refuses it; a response, such as a
            redirect to a sign-in page, is sent as it is; anything else raises `TypeError` and lets
            nobody in. A function that is not ``async`` runs in a thread. Without one, anyone who
            has `BrowseApp.token` is let in.
        allow_changes: Whether the page may pin, restore, and move to the trash.
        conflicts: As for `Sessions`, for changes; ignored if `store` is `Settings`.
        hosts: The host names under which the page may be requested; by default this machine's own.
            ``"*"`` for any, ``"*ip"`` for any IP address.
        secret: Signs cookies and forms: at least 32 characters that nobody can guess. By default,
            each application makes its own. Pass the same to all worker processes; they need
            `authenticate`, too, since each would have a different token.

    Raises:
        ValueError: The secret is too short, or given without `authenticate`.
        ImportError: The extra ``web`` is not installed.
        ConfigError, PluginError: As `statekeep.open_store`.

    Example:
        >>> from statekeep import open_store
        >>> from statekeep_web import create_app
        >>> store = open_store("memory:")
        >>> create_app(store, authenticate=lambda request: "ada")
        BrowseApp(memory:)
    """
    if secret is not None and len(secret) < 32:
        raise ValueError("secret needs at least 32 characters that nobody can guess")
    if secret is not None and authenticate is None:
        # Its cookies would never expire, nor would those of another page with this secret.
        raise ValueError("secret needs authenticate")
    return BrowseApp(store, authenticate, allow_changes, conflicts, hosts, secret)


def _say_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    said = {404: "There is no such page.", 405: "That cannot be done here."}
    return refusal(request, status, "Not found", said.get(status, "That is not possible."))


def _say_fault(request: Request, _: Exception) -> Response:
    text = "This is a fault of the page. The server's log has the details."
    return refusal(request, 500, "Something went wrong", text)
