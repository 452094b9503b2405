"""What a session leaves in its storage: its runs and, while it lives, an entry that others find."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, final

from .errors import DependencyError, StorageError
from .results import RunStatus
from .steering.presence import Presence, this_process
from .storage.kept import DepsInForce, recorded_limits
from .storage.runs import PUT, REPLAY, RESET

if TYPE_CHECKING:
    from .execution.protocol import Executor
    from .results import ExecutionResult
    from .steering import Steered
    from .storage import Storage
    from .storage.recording import Recorder

Finish = Callable[["ExecutionResult"], None]


@final
class Journal:
    """Keeps the journal of one session, from `begin` to `end`; before and after it does nothing.

    Attributes
    ----------
    id
        Which incarnation of the session it is about: 32 hexadecimal digits, another for every `begin`.
    """

    def __init__(self, storage: Storage, session: str) -> None:
        self._storage = storage
        self._session = session
        self._recorder: Recorder | None = None
        self._presence: Presence | None = None
        self._limits: dict[str, Any] = {}
        self._deps: frozenset[str] = frozenset()
        self._watchers: list[Callable[[], object]] = []
        self._is_used = False
        self.id = uuid.uuid4().hex

    def begin(self, steered: Steered, executor: Executor) -> None:
        """Begin to record, and let other processes see and steer the session."""
        if self._is_used:
            self.id = uuid.uuid4().hex
        self._is_used = True
        config = executor.config
        self._limits = recorded_limits(config)
        self._deps = self._recorded_deps()
        self._recorder = self._storage.runs.recorder(
            session=self._session,
            session_id=self.id,
            executor=executor.name,
            limits=self._limits,
            deps=DepsInForce(config.deps, self._storage.deps),
            secrets=config.secrets(os.environ),
        )
        self._presence = Presence(self._storage.sessions, steered)
        self._presence.begin(id=self.id, name=self._session, executor=executor.name, limits=self._limits)

    async def end(self, close: Callable[[], Any]) -> None:
        """Take the entry back, `close` the session's place, and write what has not been written.

        All three are done, whichever of them fails or is cancelled.
        """
        presence, self._presence = self._presence, None
        recorder, self._recorder = self._recorder, None
        async with contextlib.AsyncExitStack() as last:
            if recorder is not None:
                last.push_async_callback(asyncio.to_thread, recorder.close)
            last.push_async_callback(close)
            if presence is not None:
                last.push_async_callback(presence.end)

    @property
    def is_open(self) -> bool:
        """Whether the session runs, or is being made anew."""
        return self._recorder is not None

    def recorded(
        self, code: str, variables: Mapping[str, Any] | None, *, replay_of: int | None = None
    ) -> contextlib.AbstractContextManager[Finish]:
        """Record a run that takes place within; call what is yielded with its result."""
        if self._recorder is None:  # the executor will refuse
            return contextlib.nullcontext(lambda _: None)
        return self._noticed(self._recorder.recorded(code, variables, replay_of=replay_of))

    @contextlib.contextmanager
    def _noticed(self, recorded: contextlib.AbstractContextManager[Finish]) -> Iterator[Finish]:
        """Tell those who watch that a run begins, and that it has ended."""
        self._tell()
        try:
            with recorded as finish:
                yield finish
        finally:
            self._tell()

    def _tell(self) -> None:
        for notice in [*self._watchers]:
            notice()

    def watch(self, notice: Callable[[], object]) -> None:
        """Call `notice`, which must not wait, on the session's loop when a run begins and when it ends."""
        if notice not in self._watchers:
            self._watchers.append(notice)

    def unwatch(self, notice: Callable[[], object]) -> None:
        """Call `notice` no more."""
        with contextlib.suppress(ValueError):
            self._watchers.remove(notice)

    def mark_fresh(self, what: str) -> None:
        """Record that nothing is left of what ran before."""
        if self._recorder is not None:
            self._recorder.mark(RESET, what)

    def mark_put(self, name: str, value: Any, *, replay_of: int | None = None) -> None:
        """Record that a variable was set from outside."""
        if self._recorder is not None:
            text = f"{name} was set from outside"
            self._recorder.mark(PUT, text, variables={name: value}, replay_of=replay_of)

    @contextlib.contextmanager
    def replaying(self) -> Iterator[None]:
        """Record that runs are repeated within; one that does not come to its end does not count as whole."""
        if self._recorder is None:
            yield
            return
        begun = self._recorder.begin("# earlier runs are run again", kind=REPLAY)
        try:
            yield
        except BaseException as error:
            self._recorder.give_up(begun, RunStatus.ERROR, str(error), 0.0)
            raise
        self._recorder.give_up(begun, RunStatus.OK, None, 0.0)

    def has_new_deps(self) -> bool:
        """Whether the storage was told to record packages since the session began."""
        return bool(self._recorded_deps() - self._deps)

    def about(self) -> dict[str, Any]:
        """Return what another process is told beside what the session's place says."""
        return {
            "id": self.id,
            "name": self._session,
            "limits": self._limits,
            "last_run": self._recorder.last_id if self._recorder is not None else None,
            "owner_pid": os.getpid(),
            "owner_what": this_process(),
        }

    def _recorded_deps(self) -> frozenset[str]:
        try:
            return frozenset(self._storage.deps.list())
        except (StorageError, DependencyError):  # whoever installs them will say so
            return frozenset()
