"""Offers a name instead of a spec."""

from statekeep.plugins import hookimpl


@hookimpl
def statekeep_backends() -> list[str]:
    return ["vague"]
