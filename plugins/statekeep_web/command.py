"""``statekeep browse``."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Final

import typer

from statekeep.cli import output
from statekeep.cli.options import StoreUrl, existing
from statekeep.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from statekeep_web import BrowseApp

__all__ = ["browse"]

_LOCAL: Final = "127.0.0.1"
_USUAL_PORT: Final = 8765
_NEEDED: Final = ("jinja2", "markdown_it", "nh3", "pygments", "starlette", "uvicorn")
_SECONDS_TO_END: Final = 2


def browse(
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="0 for any free port. Default: 8765, or a free one if in use."
        ),
    ] = None,
    allow_changes: Annotated[
        bool,
        typer.Option("--allow-changes", help="Let the page pin, restore, and move to the trash."),
    ] = False,
    listen: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Listen at this address, for other machines, too. Anyone with the link can read "
            "everything, and nothing is encrypted on the way.",
        ),
    ] = _LOCAL,
    store: StoreUrl = None,
) -> None:
    """Show sessions and journals on a page in the browser; read-only, on this machine.

    Prints the link to open. Ctrl-C stops it.

    For example: statekeep browse --store ./state
    """
    if any(find_spec(name) is None for name in _NEEDED):
        raise ConfigError("the page needs more packages: pip install 'statekeep[web]'")
    from statekeep_web import create_app  # noqa: PLC0415 - an extra, and costly

    if not logging.getLogger("statekeep").isEnabledFor(logging.DEBUG):
        logging.disable(logging.WARNING)  # the page shows what the store would warn about
    settings = existing(store)
    listening = _listening(listen, port)
    with listening:
        app = create_app(settings, allow_changes=allow_changes, hosts=_hosts(listen))
        try:
            _tell(listening, listen, app)
            _serve(app, listening)
        finally:
            app.close()


def _listening(address: str, port: int | None) -> socket.socket:
    """Open a listening socket.

    Raises:
        ConfigError: The address is not one of this machine, or the port cannot be used.
    """
    try:
        family, *_, place = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigError(f"--listen: {address!r} is not an address: {error.strerror}") from None
    host = str(place[0])
    try:
        return _bound(family, host, _USUAL_PORT if port is None else port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and port is None:
            return _bound(family, host, 0)
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            what = "is in use" if error.errno == errno.EADDRINUSE else "needs privileges"
            raise ConfigError(
                f"--port: {port} {what}; choose another, or 0 for a free one"
            ) from None
        raise ConfigError(f"--listen: cannot listen at {address!r}: {error.strerror}") from None


def _bound(family: int, host: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(128)
    except OSError:
        made.close()
        raise
    return made


def _is_local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _hosts(address: str) -> Iterable[str]:
    """The host names under which browsers may request the page.

    If other machines can connect, any IP address is allowed, since no other site's name is one.
    """
    known = ["127.0.0.1", "localhost", "::1", address]
    return known if _is_local(address) else [*known, "*ip", socket.gethostname()]


def _tell(listening: socket.socket, address: str, app: BrowseApp) -> None:
    host, port = listening.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - it was asked for
        host = socket.gethostname()
    shown = f"[{host}]" if ":" in host else host
    if not _is_local(address):
        output.note(
            f"warning: any machine that reaches {shown} can connect. Anyone with the link can read "
            "everything in the store; the link and the pages cross the network unencrypted.",
            "yellow",
        )
    output.print_line(f"http://{shown}:{port}/?token={app.token}")
    output.note("Open this link in a browser. Press Ctrl-C to stop.")


def _serve(app: BrowseApp, listening: socket.socket) -> None:
    import uvicorn  # noqa: PLC0415 - an extra
    from anyio import to_thread  # noqa: PLC0415 - comes with starlette

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # This ends requests that are still reading the whole store, so none is waited for.
            await to_thread.run_sync(app.close)
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        access_log=False,  # it would contain the token
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_SECONDS_TO_END,
        ws="none",
    )
    Server(config).run(sockets=[listening])
