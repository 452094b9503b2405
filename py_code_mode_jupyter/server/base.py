"""What all handlers share: who may ask, how much they may send, and failures that are told in one form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from jupyter_server.base.handlers import APIHandler
from tornado import httputil, web
from tornado.iostream import StreamClosedError

from ..errors import (
    ArtifactFormatError,
    ArtifactNotFoundError,
    CodeModeError,
    ConfigurationError,
    ExecutorStartError,
    InvalidArtifactNameError,
    InvalidWorkflowError,
    RequestRefusedError,
    RunNotFoundError,
    SessionGoneError,
    SteeringError,
    StorageUnavailableError,
    WorkflowNotFoundError,
)
from . import metrics

if TYPE_CHECKING:
    from types import TracebackType

    from .state import ServerState

SMALL_BODY = 64 * 1024
"""Bytes of a request's body, where it is JSON."""
_STATUS: tuple[tuple[type[CodeModeError], int], ...] = (
    (ArtifactNotFoundError, 404),
    (RunNotFoundError, 404),
    (SessionGoneError, 404),
    (WorkflowNotFoundError, 404),
    (InvalidWorkflowError, 400),
    (InvalidArtifactNameError, 400),
    (ArtifactFormatError, 400),
    (ConfigurationError, 400),
    (SteeringError, 409),
    (StorageUnavailableError, 503),
    (ExecutorStartError, 503),
)
_KINDS = {
    400: "InvalidRequest",
    401: "Unauthenticated",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    411: "LengthRequired",
    413: "TooLarge",
}
_REMEDIES = {
    403: "Log in to Jupyter, or send its token and the XSRF token; or ask for the right to do this.",
    405: "openapi.json says what each route answers.",
}


@web.stream_request_body
class CodeModeHandler(APIHandler):
    """Base of our handlers.

    Its subclasses put ``@authenticated`` and ``@authorized`` on every verb, so that Jupyter's identity
    provider and authorizer decide. Bodies are read only after that, and only as far as they may be long.
    """

    def initialize(self) -> None:
        """Have room for a body; called by tornado for each request."""
        self._body = bytearray()
        self._is_too_long = False

    @property
    def state(self) -> ServerState:
        """The extension's state."""
        return cast("ServerState", self.settings["pcm_state"])

    @property
    def max_body(self) -> int:
        """Bytes that a body may have."""
        return SMALL_BODY

    async def prepare(self) -> None:  # type: ignore[override]  # as APIHandler has it
        """Let Jupyter judge who asks; called by tornado before the body is read."""
        await super().prepare()
        length = self.request.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > self.max_body:
            raise self._too_large()
        # One byte more, so that what has no length is told in our own form.
        connection = cast("Any", self.request.connection)
        connection.set_max_body_size(max(2 * self.max_body, SMALL_BODY))

    def data_received(self, chunk: bytes) -> None:
        """Keep a part of the body; called by tornado."""
        if len(self._body) + len(chunk) > self.max_body:
            self._is_too_long = True
            self._body.clear()
        elif not self._is_too_long:
            self._body += chunk

    def _too_large(self) -> RequestRefusedError:
        remedy = f"Send at most {self.max_body:,} bytes."
        return RequestRefusedError(413, "TooLarge", "The body is too large.", remedy=remedy)

    # What is asked

    def body(self) -> bytearray:
        """Return the body.

        Raises
        ------
        RequestRefusedError
            It is too large.
        """
        if self._is_too_long:
            raise self._too_large()
        return self._body

    def json_object(self) -> dict[str, Any]:
        """Return the body, which is to be a JSON object.

        Raises
        ------
        RequestRefusedError
            It is something else, or too large.
        """
        try:
            found = json.loads(self.body())
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise invalid("The body is not a JSON object.")
        return found

    def text(self, name: str, longest: int = 200) -> str:
        """Return a parameter of the query; empty if it is not given."""
        found = self.get_query_argument(name, "", strip=False) or ""
        if len(found) > longest:
            raise invalid(f"{name} has more than {longest} characters.")
        return found

    def number(self, name: str, default: int | None, most: int) -> int | None:
        """Return a parameter of the query that is a number from 1."""
        found = self.text(name, 20)
        if not found:
            return default
        return whole(name, found, most)

    # What is answered

    def answer(self, data: Mapping[str, Any], status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.finish(json.dumps(data, allow_nan=False, default=str))

    def compute_etag(self) -> None:
        """Make none: what is answered has changed by the next time."""

    def done(self) -> None:
        """Answer that it was done."""
        self.set_status(204)
        self.finish()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with a failure, in the one form that all have; called by tornado."""
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        status, told = told_failure(status_code, error)
        metrics.REFUSALS.labels(kind=told["error"]).inc()
        self.set_status(status)
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(told))

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Note a failure: in one line if it is one that was foreseen; called by tornado."""
        if isinstance(value, CodeModeError):
            self.log.debug("%s %s: %s", self.request.method, self.request.path, value)
        elif not isinstance(value, StreamClosedError):
            super().log_exception(typ, value, tb)


def told_failure(status: int, error: BaseException | None) -> tuple[int, dict[str, str]]:
    """Return the status and the JSON that tell a failure: never more than its sentence."""
    if isinstance(error, RequestRefusedError):
        return error.status, {"error": error.kind, "message": error.message, "remedy": error.remedy}
    if isinstance(error, CodeModeError):
        found = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        told = {"error": type(error).__name__, "message": error.message, "remedy": error.remedy}
        return found, told
    if not isinstance(error, web.HTTPError | httputil.HTTPInputError) or status >= 500:
        message = "The server could not do this; its log says why."
        return status, {"error": "InternalError", "message": message, "remedy": "Look at the server's log."}
    message = f"{HTTPStatus(status).phrase}."
    kind = _KINDS.get(status, HTTPStatus(status).phrase.title().replace(" ", ""))
    return status, {"error": kind, "message": message, "remedy": _REMEDIES.get(status, "")}


def invalid(message: str) -> RequestRefusedError:
    """Return the failure of a request that is not what `openapi.json` says."""
    remedy = "openapi.json says what each route takes."
    return RequestRefusedError(400, "InvalidRequest", message, remedy=remedy)


def whole(name: str, text: str, most: int) -> int:
    """Return the whole number from 1 that is written in `text`.

    Raises
    ------
    RequestRefusedError
        It is none, or larger than `most`.
    """
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise invalid(f"{name} is not a whole number from 1 to {most:,}.")
    return int(text)
