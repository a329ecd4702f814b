"""Which store a text refers to: a path or URL, and which distribution opens it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode

from statekeep.errors import ConfigError

__all__ = ["StoreURL"]

# At least two letters, so that C:\state is a path.
_SCHEME = re.compile(r"(?:(?P<dist>[A-Za-z0-9][\w.-]*)\+)?(?P<scheme>[A-Za-z][\w.-]+):")
_SECRET = re.compile(r"secret|passw|pwd|token|credential|key$|^sig|^sas", re.IGNORECASE)
_QUERY = re.compile(r"\?\w+=[^/]*$")
_PASSWORD = re.compile(r":[^@]*@")
# In a host, a port is not a password, nor is what follows the first colon of an ARN or an IPv6
# address. A password can contain slashes.
_PASSWORD_OF_HOST = re.compile(r"(?:^|:)//(?!arn:|\[)[^/?@:]*:(?!\d+(?:[/?]|$))[^@]*@")
# Invisible, so never intended: control characters, characters that have no width or change the
# direction of text, and half characters; not joiners, which many scripts need.
_UNSEEN = re.compile(
    "[\0-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    "\ufff9-\ufffb\ud800-\udfff]"
)
_VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|\{[^{}]*\}|\([^()]*\))|%[A-Za-z_]\w*%", re.ASCII)
# Percent-encoded bytes can stand side by side.
_VARIABLE_IN_URL = re.compile(
    r"\$(?:[A-Za-z_]\w*|\{[^{}]*\}|\([^()]*\))|%(?![0-9A-Fa-f]{2})[A-Za-z_]\w*%", re.ASCII
)


@dataclass(frozen=True, slots=True)
class StoreURL:
    """A store's address, free of secrets.

    Attributes:
        scheme: The name of the backend.
        location: What follows the scheme, percent-decoded: a path, a bucket and prefix, or a name.
        options: The query, for the backend's config model to read.
        distribution: The distribution that must provide the backend, or None.
    """

    scheme: str
    location: str
    options: dict[str, str] = field(default_factory=dict)
    distribution: str | None = None

    @classmethod
    def parse(cls, text: str) -> StoreURL:
        """Parse ``path``, ``scheme:location?option=value`` or ``dist+scheme:…``.

        Raises:
            ConfigError: It is empty, repeats an option, or holds a secret, which the message does
                not show; or it looks like a slip: blanks or quotation marks around it, invisible
                characters, or a variable that was not expanded.
        """
        if not text.strip():
            raise ConfigError("the store's URL is empty; a folder, 'memory:' or a URL is needed")
        match = _SCHEME.match(text)
        is_url = bool(match) or "://" in text
        rest = text[match.end() :] if match else text
        location, _, query = rest.partition("?")
        try:
            decoded = unquote(rest, errors="strict") if is_url else rest
        except UnicodeDecodeError:
            raise ConfigError("the URL is not UTF-8, percent-encoded") from None
        given = parse_qsl(query, keep_blank_values=True)
        if is_url and (
            _PASSWORD_OF_HOST.search(decoded) or any(_PASSWORD.search(value) for _, value in given)
        ):
            raise ConfigError(
                "the URL holds a password; give credentials through the environment, never in a URL"
            )
        _refuse_slips(text, decoded, location, is_url=is_url)
        if not match:
            if is_url:
                raise ConfigError("what precedes :// is not a scheme; for a folder, give a path")
            if _QUERY.search(text):
                raise ConfigError(
                    "a bare path takes no options; write file:PATH?option=value, or give a Path "
                    "if the folder is really named so"
                )
            return cls.of_path(text)
        if "#" in rest:
            raise ConfigError("a store's URL has no fragment; write '#' as '%23'")
        options: dict[str, str] = {}
        for name, value in given:
            if _SECRET.search(name):
                raise ConfigError(
                    f"the URL's option {name!r} looks like a secret; give credentials through the "
                    "environment, never in a URL"
                )
            if name in options:
                raise ConfigError(f"the URL names the option {name!r} twice")
            options[name] = value
        return cls(match["scheme"].lower(), unquote(location), options, match["dist"])

    @classmethod
    def of_path(cls, path: str) -> StoreURL:
        """Return the address of a folder; everything but a leading ``~`` is taken literally.

        Raises:
            ConfigError: It contains an invisible character.
        """
        _refuse_unseen(path, path)
        # Two slashes would start a host name.
        return cls("file", "/" + path.lstrip("/") if path.startswith("//") else path)

    def __str__(self) -> str:
        """The URL; `parse` reads it back."""
        distribution = f"{self.distribution}+" if self.distribution else ""
        query = f"?{urlencode(self.options)}" if self.options else ""
        return f"{distribution}{self.scheme}:{quote(self.location)}{query}"

    def below(self, name: str) -> StoreURL:
        """Return the address of a place below this one, with the same options.

        Args:
            name: One or more segments.
        """
        slash = "" if self.location.endswith("/") or not self.location else "/"
        return replace(self, location=f"{self.location}{slash}{name}")

    @property
    def path(self) -> Path:
        """The location as an absolute path on this machine.

        Raises:
            ConfigError: There is no path, or the URL names another machine.
        """
        location = self.location
        if location.startswith("//"):
            host, slash, rest = location[2:].partition("/")
            if host not in {"", "localhost"}:
                what = "folder" if self.scheme == "file" else "file"
                raise ConfigError(
                    f"a {what} is on this machine, not on {host!r}; write {self.scheme}:///path "
                    f"for an absolute path and {self.scheme}:path for a relative one"
                )
            location = slash + rest
        if not location:
            raise ConfigError("the URL names no path")
        try:
            return Path(location).expanduser().absolute()
        except (OSError, RuntimeError):
            user = location.partition("/")[0]
            raise ConfigError(
                f"{user!r} is not a user's folder here; for a folder with that name, write "
                f"'./{location}'"
            ) from None


def _refuse_slips(text: str, decoded: str, location: str, *, is_url: bool) -> None:
    """Refuse a text that is most likely a slip.

    Args:
        text: The text as given; it holds no secret.
        decoded: What follows the scheme, percent-decoded.
        location: What follows the scheme, before the query and not decoded.
        is_url: Whether it is a URL; otherwise it is a path.

    Raises:
        ConfigError: It is; the message says why.
    """
    _refuse_unseen(text, text)
    _refuse_unseen(decoded, text)
    for part in (text, location):
        if part != part.strip():
            side = "begins" if part != part.lstrip() else "ends"
            raise ConfigError(f"the location {side} with a blank: {text!r}")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        raise ConfigError(f"the location is in quotation marks: {text}")
    variable = (_VARIABLE_IN_URL if is_url else _VARIABLE).search(location)
    if variable:
        letter = "write '%24' for the '$'" if variable[0][0] == "$" else "write '%25' for a '%'"
        raise ConfigError(
            f"{variable[0]!r} in the location was not expanded: {text!r}; if it is really named "
            f"so, {letter if is_url else 'give a Path'}"
        )


def _refuse_unseen(text: str, whole: str) -> None:
    if odd := _UNSEEN.search(text):
        raise ConfigError(
            f"the location holds an invisible character, U+{ord(odd[0]):04X}: {whole!a}"
        )
