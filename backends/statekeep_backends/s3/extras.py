"""Whether third-party packages are installed, and how to install them."""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["GET_OBSTORE", "GET_S3FS", "is_installed"]

GET_S3FS = "pip install 'statekeep[s3]'"
GET_OBSTORE = "pip install 'statekeep[obstore]'"


def is_installed(package: str) -> bool:
    """Return whether a package can be imported, without importing it."""
    return find_spec(package) is not None
