"""Every exception that this package raises on purpose.

::

    CodeModeError
    ├── ConfigurationError            a configuration or argument value is wrong
    ├── ExecutorError                 the executor failed, not the code it ran
    │   ├── ExecutorStartError        its place could not be made ready
    │   │   ├── PythonNotFoundError   no interpreter of the version asked for
    │   │   ├── VenvError             the environment could not be built
    │   │   ├── EngineError           the container engine is missing, stopped, forbidden, or refused
    │   │   ├── ImageError            the image is not there, or made from other code
    │   │   └── AuthenticationError   no token was given, or the wrong one
    │   ├── ExecutorStateError        not started, closed, or in use by another session
    │   ├── ContainerLostError        the connection with a container has ended
    │   ├── ContainerRefusedError     a container refused, or could not do, what it was asked
    │   ├── UnsupportedCapabilityError
    │   └── TransferError             a value or file could not cross to or from the place
    │       └── NotPlainError         the value is not plain data, an array or a table
    ├── DependencyError
    │   ├── InvalidDependencyError    not a name with version specifiers
    │   ├── RuntimeDepsDisabledError  ``allow_runtime_deps`` is False
    │   └── DependencyInstallError    the installer refused or could not reach an index
    ├── StorageError
    │   ├── StorageUnavailableError   the folder cannot be used
    │   ├── RunNotFoundError
    │   ├── LedgerFormatError         its file is damaged, another program's, or of a newer version
    │   ├── ArtifactNotFoundError
    │   ├── InvalidArtifactNameError
    │   ├── ArtifactFormatError       no safe file format for this kind of object, or a damaged file
    │   ├── WorkflowNotFoundError
    │   ├── WorkflowExistsError       there is one of this name, and nobody said to replace it
    │   ├── InvalidWorkflowError      its name, source, or ``run`` cannot be used
    │   ├── WorkflowConsentError      a more isolated place wrote it, and nobody has approved it here
    │   └── WorkflowProtectedError    a less isolated place wrote it, so that this one may not change it
    ├── SteeringError                 a session of another process did not do what it was asked
    │   └── SessionGoneError          it has ended, or does not answer
    ├── ReplayError                   recorded runs cannot be run again
    │   └── ReplayConsentError        they come from a more isolated place, and nobody has agreed yet
    ├── RequestRefusedError           the server cannot, or may not, do what a client asked
    ├── BrokerError                   isolated code asked for something it may not have
    └── RunFailedError                a ``%pcm`` run failed and the cell has to stop

A failure of the *executed code* is never an exception of this tree: it is an
`ExecutionResult` whose ``error`` says what happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_LONGEST_REPR = 200


def _shown(value: object) -> str:
    """Return the value's ``repr``, cut short. It is a caller's object, whose ``repr`` may fail."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the error that is being made matters more
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONGEST_REPR else f"{text[: _LONGEST_REPR - 3]}..."


def _rebuild(cls: type[CodeModeError], state: dict[str, Any], args: tuple[Any, ...]) -> CodeModeError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class CodeModeError(Exception):
    """Root of every exception of this package.

    Parameters
    ----------
    message
        What is wrong, in one sentence.
    remedy
        What to do about it. Shown behind the message.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".rstrip()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.__dict__.copy(), self.args)


class ConfigurationError(CodeModeError, ValueError):
    """A configuration field or an argument has a value that cannot be used.

    Attributes
    ----------
    field, value
        The name of the field and the value it was given. Values of secret fields are never kept.
    """

    def __init__(self, field: str, value: object, problem: str, *, remedy: str = "") -> None:
        super().__init__(f"{field}={_shown(value)}: {problem}", remedy=remedy)
        self.field = field
        self.value = value


class ExecutorError(CodeModeError):
    """The executor failed; the code it was given is not to blame."""


class ExecutorStartError(ExecutorError):
    """The place where code runs could not be made ready. Nothing half-made is left."""


class PythonNotFoundError(ExecutorStartError):
    """No interpreter of the requested version is installed.

    Attributes
    ----------
    version
        The version that was asked for.
    """

    def __init__(self, version: str, *, remedy: str = "") -> None:
        super().__init__(f"No Python {version} was found on this machine.", remedy=remedy)
        self.version = version


class VenvError(ExecutorStartError):
    """A virtual environment, or the base below it, could not be built.

    Attributes
    ----------
    log
        The last lines that the tool printed, empty where there was no tool.
    """

    def __init__(self, message: str, *, log: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.log = log

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.log}".rstrip()


class EngineError(ExecutorStartError):
    """The container engine cannot be reached, may not be used, or refused what was asked.

    Attributes
    ----------
    docker_host
        Its address, empty for the usual one.
    """

    def __init__(self, message: str, *, docker_host: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.docker_host = docker_host


class ImageError(ExecutorStartError):
    """The image is not there, is not one of this package's, or was made from another version of it.

    Attributes
    ----------
    image
        Its name.
    """

    def __init__(self, image: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.image = image


class AuthenticationError(ExecutorStartError):
    """The container's API has no token and was not told to do without, or did not admit ours."""


class ExecutorStateError(ExecutorError):
    """The call does not fit the executor's state: not started, closed, or owned by another session."""


class ContainerLostError(ExecutorError):
    """The connection with a container has ended: the container, its engine, or the way there."""


class ContainerRefusedError(ExecutorError):
    """What runs in a container refused, or could not do, what it was asked.

    Attributes
    ----------
    kind
        The name of the error there.
    """

    def __init__(self, message: str, *, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class UnsupportedCapabilityError(ExecutorError):
    """This executor cannot do what was asked, here or at all.

    Attributes
    ----------
    capability
        The capability's name, as in ``supported_capabilities()``.
    """

    def __init__(self, capability: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.capability = capability


class TransferError(ExecutorError):
    """A value or a file could not cross to or from the place where code runs."""


class NotPlainError(TransferError):
    """The object is not plain data, an array or a table, so it can only cross as its ``repr``."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message, remedy="Convert it to plain data, an array or a table, or save it as an artifact."
        )


class DependencyError(CodeModeError):
    """Something about a dependency went wrong.

    Attributes
    ----------
    spec
        The dependency as it was written.
    """

    def __init__(self, spec: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.spec = spec


class InvalidDependencyError(DependencyError, ValueError):
    """The text is not a package name with optional version specifiers."""


class RuntimeDepsDisabledError(DependencyError):
    """The session was configured with ``allow_runtime_deps=False``."""


class DependencyInstallError(DependencyError):
    """The installer failed.

    Attributes
    ----------
    log
        The last lines that the installer printed.
    """

    def __init__(self, spec: str, message: str, *, log: str = "", remedy: str = "") -> None:
        super().__init__(spec, message, remedy=remedy)
        self.log = log

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.log}".rstrip()


class StorageError(CodeModeError):
    """The storage failed."""


class StorageUnavailableError(StorageError):
    """The storage folder is missing, unreadable or not writable.

    Attributes
    ----------
    path
        The folder.
    """

    def __init__(self, path: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.path = path


class ArtifactNotFoundError(StorageError, KeyError):
    """No artifact (or no such version of it) has this name.

    Attributes
    ----------
    name
        The name that was asked for.
    known
        Names that exist and look alike.
    """

    def __init__(self, name: str, *, version: int | None = None, known: Sequence[str] = ()) -> None:
        which = f"version {version} of artifact {name!r}" if version is not None else f"artifact {name!r}"
        hint = (
            f"Did you mean {', '.join(map(repr, known))}?"
            if known
            else "artifacts.list() shows what is there."
        )
        super().__init__(f"There is no {which}.", remedy=hint)
        self.name = name
        self.version = version
        self.known = tuple(known)


class RunNotFoundError(StorageError, KeyError):
    """The run ledger knows no run of this number, or none of a session of this name.

    Attributes
    ----------
    run
        The number, or the session's name, that was asked for.
    """

    def __init__(self, run: int | str) -> None:
        what = f"run {run}" if isinstance(run, int) else f"run of a session {run[:200]!r}"
        super().__init__(
            f"There is no {what}.", remedy="It may never have been, or be so old that it is no longer kept."
        )
        self.run = run


class LedgerFormatError(StorageError):
    """The file of the run ledger is damaged, another program's, or made by a newer version of this package.

    Attributes
    ----------
    path
        The file.
    """

    def __init__(self, path: str, problem: str, *, remedy: str) -> None:
        super().__init__(f"The run ledger {path!r} cannot be used: {problem}.", remedy=remedy)
        self.path = path


class InvalidArtifactNameError(StorageError, ValueError):
    """The name cannot be an artifact's: it has path parts, is too long or holds forbidden characters.

    Attributes
    ----------
    name
        The name as it was given, cut to 200 characters.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(
            f"{name[:200]!r} cannot name an artifact: {problem}.",
            remedy="Use letters, digits, '.', '_', '-' and spaces, at most 128 characters, no path.",
        )
        self.name = name[:200]


class ArtifactFormatError(StorageError, TypeError):
    """The object has no safe file format, or a stored file cannot be read as what it claims to be."""


class WorkflowNotFoundError(StorageError, KeyError, AttributeError):
    """No workflow has this name; as an `AttributeError` it also tells ``hasattr(workflows, name)``.

    Attributes
    ----------
    name
        The name that was asked for, cut to 200 characters.
    known
        Names that exist and look alike.
    """

    # In place of the slot of `AttributeError`, which neither pickles nor crosses to isolated code.
    name: str = ""

    def __init__(self, name: str, *, known: Sequence[str] = ()) -> None:
        hint = (
            f"Did you mean {', '.join(map(repr, known))}?"
            if known
            else "workflows.list() shows what is there."
        )
        super().__init__(f"There is no workflow {name[:_LONGEST_REPR]!r}.", remedy=hint)
        self.name = name[:_LONGEST_REPR]
        self.known = tuple(known)


class WorkflowExistsError(StorageError):
    """There is a workflow of this name, and it was not said that it is to be replaced.

    Attributes
    ----------
    name
        Its name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is a workflow {name!r} already.",
            remedy="Choose another name, or replace it with overwrite=True.",
        )
        self.name = name


class InvalidWorkflowError(StorageError, ValueError):
    """The name or the source cannot be a workflow's.

    Attributes
    ----------
    name
        The workflow's name as it was given, cut to 200 characters.
    problem
        What is wrong, as part of a sentence.
    line
        The line of the source that is to blame, from 1; None where it is none.
    text
        That line, cut to 200 characters; empty where it is none.
    """

    def __init__(self, name: str, problem: str, *, line: int | None = None, text: str = "") -> None:
        where = "" if line is None else f"line {line}: "
        text = text.strip()[:_LONGEST_REPR]
        quoted = f"\n    {text}" if text else ""
        super().__init__(f"{name[:_LONGEST_REPR]!r} cannot be a workflow: {where}{problem}.{quoted}")
        self.name = name[:_LONGEST_REPR]
        self.problem = problem
        self.line = line
        self.text = text


class WorkflowConsentError(StorageError):
    """A more isolated place wrote this workflow, and nobody has approved this very source here.

    Attributes
    ----------
    name
        The workflow.
    origin
        The place that wrote it.
    place
        The place where it was to run.
    sha256
        The digest of the source in question.
    """

    def __init__(self, name: str, *, origin: str, place: str, sha256: str) -> None:
        super().__init__(
            f"Workflow {name!r} was written by code in a place of kind {origin!r}, which is more isolated "
            f"than {place!r}, and nobody has approved this source.",
            remedy=f"Read it, and allow it with storage.workflows.approve({name!r}, {place!r}); "
            "or run it where it was written.",
        )
        self.name = name
        self.origin = origin
        self.place = place
        self.sha256 = sha256


class WorkflowProtectedError(StorageError):
    """A less isolated place wrote this workflow, so that this one may neither replace nor delete it.

    Attributes
    ----------
    name
        The workflow.
    origin
        The place that wrote it.
    place
        The place that wanted to change it.
    """

    def __init__(self, name: str, *, origin: str, place: str) -> None:
        super().__init__(
            f"Workflow {name!r} was written in a place of kind {origin!r}; code in one of kind {place!r} "
            "is more isolated and may not change it.",
            remedy="Choose another name, or change it where it was written.",
        )
        self.name = name
        self.origin = origin
        self.place = place


class SteeringError(CodeModeError):
    """A session that lives in another process did not do what it was asked.

    Attributes
    ----------
    kind
        The name of the error there, empty if it is ours.
    """

    def __init__(self, message: str, *, kind: str = "", remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.kind = kind


class SessionGoneError(SteeringError):
    """The session has ended, or its process does not answer."""


class ReplayError(CodeModeError):
    """Recorded runs cannot be run again."""


class ReplayConsentError(ReplayError):
    """Recorded runs come from a more isolated place than the one they would run in now.

    Attributes
    ----------
    origin, place
        The executors that ran them, and that would run them.
    """

    def __init__(self, origin: str, place: str) -> None:
        super().__init__(
            f"What ran in the place {origin!r} would run again in the less isolated place {place!r}.",
            remedy="Read the code first; if it may run here, say consent=True.",
        )
        self.origin = origin
        self.place = place


class RequestRefusedError(CodeModeError):
    """A request to the server cannot be answered as it was asked.

    Attributes
    ----------
    status
        The HTTP status that says so.
    kind
        What is wrong, in one word: ``NotFound``, ``InvalidRequest``, ``TooLarge``, ``Busy`` and the like.
    """

    def __init__(self, status: int, kind: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.status = status
        self.kind = kind


class BrokerError(CodeModeError):
    """Isolated code asked the host for something that it may not have, or asked wrongly."""


class RunFailedError(CodeModeError):
    """A run started from a notebook cell failed; raised so that "Run All" stops there."""
