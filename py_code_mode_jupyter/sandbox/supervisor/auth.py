"""Who may speak with the supervisor: whoever has the bearer token (RFC 6750), and nobody by default."""

from __future__ import annotations

import hashlib
import hmac
import json
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tornado.http1connection import HTTP1Connection
    from tornado.web import Application

_LONGEST = 4096
_SCHEME = "bearer"
_LINGER = 0.2
"""Seconds for which a refused request is still read, and thrown away, so that its sender sees the answer."""


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


@final
class Doorkeeper(HTTPServerConnectionDelegate):
    """Stands before an application: a request without the right token gets no further than its headers.

    Parameters
    ----------
    application
        Answers the others.
    guard
        Knows who may enter.
    """

    def __init__(self, application: Application, guard: Guard) -> None:
        self._application = application
        self._guard = guard
        self._refused: weakref.WeakSet[object] = weakref.WeakSet()

    def start_request(self, server_conn: object, request_conn: Any) -> HTTPMessageDelegate:
        """Return what takes the next request of a connection."""
        inner = self._application.start_request(server_conn, request_conn)
        return _Entrance(inner, lambda headers: self._admits(server_conn, headers), request_conn)

    def _admits(self, server_conn: object, headers: HTTPHeaders) -> bool:
        # A second request may wait behind one that was refused.
        if server_conn in self._refused or not self._guard.admits(headers.get_list("Authorization")):
            self._refused.add(server_conn)
            return False
        return True


@final
class _Entrance(HTTPMessageDelegate):
    def __init__(self, inner: HTTPMessageDelegate, admits: Any, connection: HTTP1Connection) -> None:
        self._inner = inner
        self._admits = admits
        self._connection = connection
        self._is_in = False

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._is_in = self._admits(headers)
        if self._is_in:
            return self._inner.headers_received(start_line, headers)
        self._refuse()
        return None

    def _refuse(self) -> None:
        body = json.dumps({"error": "Unauthorized"}).encode()
        headers = {
            "WWW-Authenticate": "Bearer",
            "Connection": "close",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        }
        stream = self._connection.stream
        self._connection.write_headers(
            ResponseStartLine("HTTP/1.1", 401, "Unauthorized"), HTTPHeaders(headers), body
        )
        self._connection.finish()
        stream.io_loop.call_later(_LINGER, stream.close)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._inner.data_received(chunk) if self._is_in else None

    def finish(self) -> None:
        if self._is_in:
            self._inner.finish()

    def on_connection_close(self) -> None:
        if self._is_in:
            self._inner.on_connection_close()
