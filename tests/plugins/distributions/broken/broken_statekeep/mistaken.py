"""A pruning strategy that offers nothing at all."""

from statekeep.plugins import hookimpl


@hookimpl
def statekeep_pruners() -> None:
    pass
