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
            min=0, max=65535, help="0 for a free one. Else 8765 or, if that is in use, a free one."
        ),
    ] = None,
    allow_changes: Annotated[
        bool,
        typer.Option("--allow-changes", help="Let the page pin, restore, and fill the trash."),
    ] = False,
    listen: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Let other machines ask, too: all who have the link read everything, and nothing "
            "on its way is encrypted.",
        ),
    ] = _LOCAL,
    store: StoreUrl = None,
) -> None:
    """Show sessions and journals on a page in the browser; read-only, on this machine.

    Prints the link that opens it. Ctrl-C ends it.

    For example: statekeep browse --store ./state
    """
    if any(find_spec(name) is None for name in _NEEDED):
        raise ConfigError("the page needs more packages: pip install 'statekeep[web]'")
    from statekeep_web import create_app  # noqa: PLC0415 - an extra, and costly

    if not logging.getLogger("statekeep").isEnabledFor(logging.DEBUG):
        logging.disable(logging.WARNING)  # what the store would warn of is on the page
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
    """A socket that listens.

    Raises:
        ConfigError: The address is not this machine's, or the port is in use.
    """
    try:
        family, *_, place = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ConfigError(f"--listen: {address!r} is no address: {error.strerror}") from None
    host = str(place[0])
    try:
        return _bound(family, host, _USUAL_PORT if port is None else port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE and port is None:
            return _bound(family, host, 0)
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            what = "is in use" if error.errno == errno.EADDRINUSE else "is not for everybody"
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
    """The names by which browsers may ask.

    Where all addresses of this machine are listened at, any in digits is fine: another site's
    name that leads here is none.
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
            f"warning: not only this machine can ask for the page, but whoever reaches {shown}. "
            "Who has the link reads everything in the store; the link and all that is shown go "
            "over the network unencrypted.",
            "yellow",
        )
    output.print_line(f"http://{shown}:{port}/?token={app.token}")
    output.note("Open this link in a browser. Ctrl-C ends the page.")


def _serve(app: BrowseApp, listening: socket.socket) -> None:
    import uvicorn  # noqa: PLC0415 - an extra
    from anyio import to_thread  # noqa: PLC0415 - comes with it

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # What still reads the whole store ends by this, and need not be waited for.
            await to_thread.run_sync(app.close)
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        access_log=False,  # it would hold the token
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_SECONDS_TO_END,
        ws="none",
    )
    Server(config).run(sockets=[listening])
