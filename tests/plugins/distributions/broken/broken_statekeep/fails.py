"""Its hook raises."""

from statekeep.hooks import BackendSpec, hookimpl


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    raise RuntimeError("no licence found")
