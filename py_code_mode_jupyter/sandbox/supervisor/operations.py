"""What the host asks of the place over its WebSocket, beside Jupyter's own messages."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, final

from .. import identity
from ..wire import CHUNK
from . import files, measure, packages
from .private import PlaceError

if TYPE_CHECKING:
    from .place import Place

_T = TypeVar("_T")
Params = dict[str, Any]
Payloads = Sequence[memoryview]
Answer = tuple[dict[str, Any], bytes]


class RefusedError(Exception):
    """The request is not understood, not allowed, or failed in a way that the host has to be told."""


@final
class Operations:
    """Answers requests about one place.

    Parameters
    ----------
    place
        The kernel's place.
    measured
        What was measured before any user code ran.
    allow_runtime_deps
        Whether packages may be added and removed.
    """

    def __init__(self, place: Place, measured: dict[str, Any], *, allow_runtime_deps: bool) -> None:
        self.place = place
        self.measured = measured
        self.allow_runtime_deps = allow_runtime_deps
        self._feed: int | None = None
        self._transfer = ""
        self._unpacking: asyncio.Future[None] | None = None
        self._table: dict[str, Callable[[Params, Payloads], Awaitable[Answer]]] = {
            "info": self._info,
            "interrupt": self._interrupt,
            "start": self._start,
            "end": self._end,
            "restart": self._restart,
            "stats": self._stats,
            "private_read": self._private_read,
            "private_write": self._private_write,
            "read": self._read,
            "write": self._write,
            "packages": self._packages,
            "unpack": self._unpack,
            "remove": self._remove,
        }

    async def answer(self, header: Params, payloads: Payloads) -> Answer:
        """Do what is asked, and return the answer; what fails is an answer, too."""
        number = header.get("id")
        try:
            operation = self._table.get(str(header.get("op")))
            if operation is None:
                raise RefusedError(f"There is no operation {str(header.get('op'))[:80]!r}.")
            answer, data = await operation(header, payloads)
        # RuntimeError: code has taken all the threads there may be.
        except (RefusedError, PlaceError, files.FileError, tarfile.TarError, OSError, RuntimeError) as error:
            return {"id": number, "error": f"{error}", "kind": type(error).__name__}, b""
        return {"id": number, **answer}, data

    def info(self) -> dict[str, Any]:
        """Return what is known of the place."""
        return {
            "content": identity.read_stamp(),
            "measured": self.measured,
            "kernel": self.place.state,
            "generation": self.place.generation,
            "pid": self.place.pid,
            "allow_runtime_deps": self.allow_runtime_deps,
        }

    def stats(self) -> dict[str, Any]:
        """Return what the container uses."""
        uptime = time.monotonic() - self.place.started
        return {**measure.usage(), "uptime": uptime, "kernel": self.place.state, "pid": self.place.pid}

    async def _info(self, _params: Params, _: Payloads) -> Answer:
        return self.info(), b""

    async def _interrupt(self, _params: Params, _: Payloads) -> Answer:
        self.place.interrupt()
        return {}, b""

    async def _start(self, _params: Params, _: Payloads) -> Answer:
        await self.place.start()
        return {"generation": self.place.generation, "pid": self.place.pid}, b""

    async def _end(self, _params: Params, _: Payloads) -> Answer:
        await self.place.end()
        return {}, b""

    async def _restart(self, _params: Params, _: Payloads) -> Answer:
        await self.place.restart()
        return {"generation": self.place.generation, "pid": self.place.pid}, b""

    async def _stats(self, _params: Params, _: Payloads) -> Answer:
        return self.stats(), b""

    async def _private_read(self, params: Params, _: Payloads) -> Answer:
        return {}, await self.place.read_private(_take(params, "generation", int))

    async def _private_write(self, params: Params, payloads: Payloads) -> Answer:
        for payload in payloads:
            await self.place.write_private(_take(params, "generation", int), payload)
        return {}, b""

    async def _read(self, params: Params, _: Payloads) -> Answer:
        size = min(_take(params, "size", int), CHUNK)
        path, offset = _take(params, "path", str), _take(params, "offset", int)
        read = self.place.off_loop(files.read, self._root(), path, max(offset, 0), max(size, 0))
        whole, data = await read
        return {"size": whole}, data

    async def _write(self, params: Params, payloads: Payloads) -> Answer:
        path, unfinished = _take(params, "path", str), _take(params, "unfinished", str)
        if "/" in unfinished:
            raise RefusedError("unfinished is not a name.")
        is_last = params.get("is_last") is True

        def write() -> str:
            return files.write(self._root(), path, unfinished, payloads, is_last=is_last)

        return {"unfinished": await self.place.off_loop(write)}, b""

    def _root(self) -> str:
        return self.place.working_dir

    # Packages

    async def _packages(self, _params: Params, _: Payloads) -> Answer:
        return {"packages": await self.place.off_loop(packages.installed)}, b""

    async def _remove(self, params: Params, _: Payloads) -> Answer:
        return {"removed": await self.remove_package(_take(params, "name", str))}, b""

    async def _unpack(self, params: Params, payloads: Payloads) -> Answer:
        """Take a slice of an archive; the last answers when all is unpacked.

        One transfer at a time: another one ends it, as its sender has gone.
        """
        self.require_runtime_deps()
        transfer = _take(params, "transfer", str)
        if self._feed is not None and transfer != self._transfer:
            os.close(self._feed)
            self._feed = None
            if self._unpacking is not None:
                await asyncio.wait((self._unpacking,))
                self._unpacking.exception()
        if self._feed is None:
            self._transfer = transfer
            reading, self._feed = os.pipe()
            self._unpacking = asyncio.ensure_future(asyncio.to_thread(_unpack_from, reading))
        feed, unpacking = self._feed, self._unpacking
        assert unpacking is not None
        try:
            for payload in payloads:
                await asyncio.to_thread(_write_all, feed, payload)
        except BrokenPipeError:  # it has ended, and says below why
            params = {"is_last": True}
        if params.get("is_last") is True:
            os.close(feed)
            self._feed = self._unpacking = None
            await unpacking
        return {}, b""

    def require_runtime_deps(self) -> None:
        """Raise `RefusedError` where packages may not be changed."""
        if not self.allow_runtime_deps:
            raise RefusedError("Packages cannot be changed in this container.")

    async def unpack(self, archive: bytes) -> None:
        """Unpack a whole archive of packages."""
        self.require_runtime_deps()
        await self.place.off_loop(packages.unpack, io.BytesIO(archive), packages.FOLDER)

    async def remove_package(self, name: str) -> bool:
        """Remove an added package, and return whether there was one."""
        self.require_runtime_deps()
        return bool(await self.place.off_loop(packages.remove, name))


def _unpack_from(reading: int) -> None:
    with open(reading, "rb") as archive:
        packages.unpack(archive, packages.FOLDER)


def _write_all(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _take(params: Params, name: str, kind: type[_T]) -> _T:
    value = params.get(name)
    if not isinstance(value, kind):
        raise RefusedError(f"{name} is not a {kind.__name__}.")
    return value
