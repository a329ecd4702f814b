"""Which store a text means: paths, URLs, and the distribution that shall open them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode

from statekeep.errors import ConfigError

__all__ = ["StoreURL"]

# Two letters at least, so that C:\state is a path.
_SCHEME = re.compile(r"(?:(?P<dist>[A-Za-z0-9][\w.-]*)\+)?(?P<scheme>[A-Za-z][\w.-]+):")
_SECRET = re.compile(r"secret|passw|pwd|token|credential|key$|^sig|^sas", re.IGNORECASE)
_QUERY = re.compile(r"\?\w+=[^/]*$")
_PASSWORD = re.compile(r":[^@]*@")
_NO_PATH = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class StoreURL:
    """A store's address, free of secrets.

    Attributes:
        scheme: The name of the backend.
        location: What follows the scheme, percent-decoded: a path, a bucket and a prefix, a name.
        options: The query, to be read by the backend's config model.
        distribution: The distribution that must offer the backend, or None.
    """

    scheme: str
    location: str
    options: dict[str, str] = field(default_factory=dict)
    distribution: str | None = None

    @classmethod
    def parse(cls, text: str) -> StoreURL:
        """Read ``path``, ``scheme:location?option=value`` or ``dist+scheme:…``.

        Raises:
            ConfigError: It is empty, names an option twice, or holds a secret. The secret is not
                in the message.
        """
        if not text.strip():
            raise ConfigError("the store's URL is empty; a folder, 'memory:' or a URL is needed")
        match = _SCHEME.match(text)
        rest = text[match.end() :] if match else text
        location, _, query = rest.partition("?")
        try:
            decoded = unquote(rest, errors="strict")
        except UnicodeDecodeError:
            raise ConfigError("the URL is not UTF-8, percent-encoded") from None
        if _NO_PATH.search(decoded):
            raise ConfigError("the URL holds a NUL or a lone surrogate")
        if (match or "://" in text) and _PASSWORD.search(decoded):
            raise ConfigError(
                "the URL holds a password; give credentials by the environment, never in a URL"
            )
        if not match:
            if "://" in text:
                raise ConfigError("what stands before :// is no scheme; for a folder, give a path")
            if _QUERY.search(text):
                raise ConfigError(
                    "a bare path takes no options; write file:PATH?option=value, or give a Path "
                    "if the folder is really named so"
                )
            return cls.of_path(text)
        if "#" in rest:
            raise ConfigError("a store's URL has no fragment; write '#' as '%23'")
        options: dict[str, str] = {}
        for name, value in parse_qsl(query, keep_blank_values=True):
            if _SECRET.search(name):
                raise ConfigError(
                    f"the URL's option {name!r} looks like a secret; give credentials by the "
                    "environment, never in a URL"
                )
            if name in options:
                raise ConfigError(f"the URL names the option {name!r} twice")
            options[name] = value
        return cls(match["scheme"].lower(), unquote(location), options, match["dist"])

    @classmethod
    def of_path(cls, path: str) -> StoreURL:
        """The address of a folder; only a leading ``~`` is not taken to the letter."""
        # Two slashes would begin the name of a machine.
        return cls("file", "/" + path.lstrip("/") if path.startswith("//") else path)

    def __str__(self) -> str:
        """The URL, to be parsed again."""
        distribution = f"{self.distribution}+" if self.distribution else ""
        query = f"?{urlencode(self.options)}" if self.options else ""
        return f"{distribution}{self.scheme}:{quote(self.location)}{query}"

    def below(self, name: str) -> StoreURL:
        """The address of a place below this one, with the same options.

        Args:
            name: One or more segments.
        """
        slash = "" if self.location.endswith("/") or not self.location else "/"
        return replace(self, location=f"{self.location}{slash}{name}")

    @property
    def path(self) -> Path:
        """The location as an absolute path of this machine.

        Raises:
            ConfigError: There is no path, or the URL names another machine.
        """
        location = self.location
        if location.startswith("//"):
            host, slash, rest = location[2:].partition("/")
            if host not in {"", "localhost"}:
                raise ConfigError(
                    f"a folder is on this machine, not on {host!r}; write file:///path for an "
                    "absolute path and file:path for a relative one"
                )
            location = slash + rest
        if not location:
            raise ConfigError("the URL names no folder")
        try:
            return Path(location).expanduser().absolute()
        except (OSError, RuntimeError) as error:
            raise ConfigError(f"the folder cannot be found: {error}") from None
