"""What every request has to pass before it is answered."""

from __future__ import annotations

import http
import json
from typing import Any

from tornado.web import HTTPError, RequestHandler


class Guarded(RequestHandler):
    """A handler that answers no web page; the token was asked for at the door.

    A page of any origin could make a browser send requests here. Browsers name the origin then, and
    nobody else does.
    """

    def prepare(self) -> None:
        """Check who asks, before anything else is done."""
        if "Origin" in self.request.headers:
            raise HTTPError(403)

    def set_default_headers(self) -> None:
        """Say nothing about the server, and let nobody keep or interpret answers."""
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with JSON that says what is wrong, and never what it was."""
        self.set_header("Content-Type", "application/json")
        error = (kwargs.get("exc_info") or (None, None))[1]
        said = error.log_message if isinstance(error, HTTPError) and error.log_message else ""
        self.finish(json.dumps({"error": said or http.HTTPStatus(status_code).phrase}))
