"""moto's server, one request at a time.

moto compares an ETag and writes without a lock in between, and answers 500 when threads meet in
its tables; under load its own server loses updates that nobody else could keep.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

if TYPE_CHECKING:
    from collections.abc import Iterable

_app = DomainDispatcherApplication(create_backend_app)
_one_at_a_time = threading.Lock()


def _serialised(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    with _one_at_a_time:
        return list(_app(environ, start_response))


run_simple("127.0.0.1", int(sys.argv[1]), _serialised, threaded=True)
