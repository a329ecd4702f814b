"""Its hook has a wrong name."""

from statekeep.plugins import BackendSpec, hookimpl


@hookimpl
def statekeep_backend() -> list[BackendSpec]:
    return []
