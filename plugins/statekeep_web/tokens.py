"""What lets somebody in: the token of the link, the cookie that it is exchanged for, and forms'."""

from __future__ import annotations

import hashlib
import hmac
import secrets

__all__ = ["Tokens"]


class Tokens:
    """Makes and checks what is secret.

    Args:
        secret: What all but the link's token is signed with; by default one is made.
    """

    def __init__(self, secret: str | None = None) -> None:
        self.token = secrets.token_urlsafe(32)
        self._secret = secrets.token_bytes(32) if secret is None else secret.encode()

    def opens(self, given: str) -> bool:
        """Whether this is the link's token."""
        return _same(given, self.token)

    def new_cookie(self) -> str:
        """A value for a browser's cookie; the link's token cannot be told from it."""
        nonce = secrets.token_urlsafe(16)
        return f"{nonce}.{self._sign('cookie', nonce)}"

    def is_cookie(self, value: str) -> bool:
        """Whether this is a value that `new_cookie` made."""
        nonce, _, signature = value.partition(".")
        return _same(signature, self._sign("cookie", nonce))

    def for_forms(self, cookie: str, user: str) -> str:
        """What every form of this browser and user carries, and no other site can know."""
        return self._sign("form", cookie, user)

    def is_for_forms(self, given: str, cookie: str, user: str) -> bool:
        """Whether this is what `for_forms` gave."""
        return _same(given, self.for_forms(cookie, user))

    def _sign(self, *parts: str) -> str:
        text = "\0".join(parts).encode(errors="replace")
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()


def _same(one: str, other: str) -> bool:
    # As bytes, because text that is not ASCII is refused.
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())
