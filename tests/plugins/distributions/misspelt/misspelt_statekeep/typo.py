"""Its hook has a wrong name."""

from statekeep.hooks import BackendSpec, hookimpl


@hookimpl
def statekeep_backend() -> list[BackendSpec]:
    return []
