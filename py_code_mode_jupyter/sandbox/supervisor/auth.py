"""Who may speak with the supervisor: whoever has the bearer token (RFC 6750), and nobody by default."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import final

_LONGEST = 4096
_SCHEME = "bearer"


@final
class Guard:
    """Compares tokens with the hash of the right one; the token itself is never here before it comes.

    Parameters
    ----------
    token_hash
        SHA-256 of the token; None lets everybody in.
    """

    def __init__(self, token_hash: bytes | None) -> None:
        self._expected = token_hash

    def admits(self, authorization: Sequence[str]) -> bool:
        """Return whether a request with these ``Authorization`` headers may be answered."""
        if self._expected is None:
            return True
        if len(authorization) != 1 or len(authorization[0]) > _LONGEST:
            return False
        scheme, _, token = authorization[0].partition(" ")
        if scheme.lower() != _SCHEME or not token:
            return False
        # As tornado decoded it.
        found = hashlib.sha256(token.encode("latin-1", "replace")).digest()
        return hmac.compare_digest(found, self._expected)
