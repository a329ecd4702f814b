"""Its hook raises."""

from statekeep.plugins import BackendSpec, hookimpl


@hookimpl
def statekeep_backends() -> list[BackendSpec]:
    raise RuntimeError("no licence found")
