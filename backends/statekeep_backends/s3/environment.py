"""The settings from the usual AWS places, for a client that does not read all of them itself.

It asks botocore if that is installed and the environment variables do not say everything.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from statekeep_backends.s3.extras import is_installed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from statekeep_backends.s3.config import S3Config

__all__ = ["Environment"]

# Longer than the five minutes before expiry in which obstore asks again, and shorter than the ten
# minutes for which botocore's credentials are valid at least.
_GOOD_FOR = timedelta(minutes=9)


@dataclass(frozen=True, slots=True)
class Environment:
    """Where requests go, and who signs them.

    Attributes:
        endpoint_url: The server.
        region: The bucket's region.
        ca_bundle: A file of certificates to trust besides the system's, or None.
        credentials: Returns the current credentials; None to leave them to the client.
    """

    endpoint_url: str
    region: str
    ca_bundle: str | None
    credentials: Callable[[], Any] | None

    @classmethod
    def read(cls, config: S3Config) -> Environment:
        """Read the options, the environment and, through botocore, the shared files.

        Raises:
            BotoCoreError: A shared file is broken, or does not have the profile.
        """
        known = os.environ.get
        region = config.region or known("AWS_DEFAULT_REGION")
        endpoint_url = config.endpoint_url
        if endpoint_url is None:
            endpoint_url = known("AWS_ENDPOINT_URL_S3") or known("AWS_ENDPOINT_URL")
        ca_bundle = known("AWS_CA_BUNDLE")
        credentials = None
        if _is_more_to_find(config) and is_installed("botocore"):
            import botocore.session  # noqa: PLC0415 - costs a fifth of a second

            session = botocore.session.Session(profile=config.profile)
            region = region or session.get_config_variable("region")
            endpoint_url = endpoint_url or _endpoint_of(session)
            ca_bundle = ca_bundle or session.get_config_variable("ca_bundle")
            if not config.anon:
                credentials = _Credentials(session)
        region = region or known("AWS_REGION") or "us-east-1"
        return cls(endpoint_url or _amazon(region), region, ca_bundle, credentials)


class _Credentials:
    def __init__(self, session: Any) -> None:
        self._session = session

    def __call__(self) -> Mapping[str, Any]:
        import botocore.exceptions  # noqa: PLC0415

        found = self._session.get_credentials()
        if found is None:
            raise botocore.exceptions.NoCredentialsError
        now = found.get_frozen_credentials()
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": datetime.now(UTC) + _GOOD_FOR,
        }


def _is_more_to_find(config: S3Config) -> bool:
    said = os.environ
    profile = config.profile or said.get("AWS_PROFILE") or said.get("AWS_DEFAULT_PROFILE")
    signs = config.anon or {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= said.keys()
    files = (
        said.get("AWS_CONFIG_FILE", "~/.aws/config"),
        said.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
    )
    return bool(profile or not signs or any(Path(file).expanduser().is_file() for file in files))


def _endpoint_of(session: Any) -> str | None:
    profile = session.get_scoped_config()
    services = session.full_config.get("services", {}).get(profile.get("services"), {})
    found: str | None = services.get("s3", {}).get("endpoint_url") or profile.get("endpoint_url")
    return found


def _amazon(region: str) -> str:
    return f"https://s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
