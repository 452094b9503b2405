"""Artifacts in pages, from a listing that is made once and kept until the storage changes."""

from __future__ import annotations

import asyncio
import base64
import binascii
import bisect
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast, final

from ...errors import RequestRefusedError
from .changes import Stamp, stamp

if TYPE_CHECKING:
    from ...formats.info import ArtifactInfo
    from ...storage import FileStorage
    from .places import OffLoop

_NAMES = ("artifacts", ".incoming")
_CURRENT = 10.0
"""Seconds after which a listing is made anew even though nothing seems to have changed."""
_GLANCE = 0.05
"""Seconds for which a look at whether something has changed serves all who ask."""
_SETTLED = 0.1
"""Seconds after a change within which another one could have the same time."""
Key = tuple[float, str]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class _Listing:
    stamp: Stamp
    made: float
    keys: list[Key]
    infos: list[ArtifactInfo]
    texts: list[str]


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Some artifacts, the newest first.

    Attributes
    ----------
    artifacts
        Their newest versions.
    next
        Where the next page begins; None on the last.
    total
        How many there are on all pages.
    """

    artifacts: list[ArtifactInfo]
    next: str | None
    total: int


@final
class ArtifactPages:
    """The listing of one storage."""

    def __init__(self, off_loop: OffLoop) -> None:
        self._off_loop = off_loop
        self._lock = asyncio.Lock()
        self._listing: _Listing | None = None
        self._looked_at = -_CURRENT

    async def page(self, storage: FileStorage, *, limit: int, after: str | None, filter: str) -> Page:
        """Return a page.

        Parameters
        ----------
        storage
            Whose artifacts.
        limit
            How many at most.
        after
            `Page.next` of the page before; None for the first.
        filter
            Text that is in the name, description or summary, in whatever case; empty: all.

        Raises
        ------
        RequestRefusedError
            `after` is not one of ours.
        StorageUnavailableError
            The storage cannot be read.
        """
        start = None if after is None else _key_of(after)
        async with self._lock:
            listing = await self._current(storage)
        return _page(listing, limit, start, filter.casefold())

    def forget(self) -> None:
        """Look anew the next time: this server has changed something."""
        self._looked_at = -_CURRENT

    async def _current(self, storage: FileStorage) -> _Listing:
        kept = self._listing
        if kept is not None and time.monotonic() - self._looked_at < _GLANCE:
            return kept
        found = cast("Stamp", await self._off_loop(stamp, storage.base_path, _NAMES))
        self._looked_at = time.monotonic()
        if kept is None or kept.stamp != found or time.monotonic() - kept.made > _CURRENT:
            kept = cast("_Listing", await self._off_loop(_list, storage, found))
            # What was changed a moment ago may be changed again, and nobody could tell.
            is_settled = all(time.time() - at / 1e9 > _SETTLED for at, _ in found)
            self._listing = kept if is_settled else None
        return kept


def _list(storage: FileStorage, stamp: Stamp) -> _Listing:
    infos = sorted(storage.artifacts.list(), key=_key)
    return _Listing(
        stamp=stamp,
        made=time.monotonic(),
        keys=[_key(info) for info in infos],
        infos=infos,
        texts=[f"{info.name}\n{info.description}\n{info.summary}".casefold() for info in infos],
    )


def _key(info: ArtifactInfo) -> Key:
    return -info.created.timestamp(), info.name


def _page(listing: _Listing, limit: int, start: Key | None, filter: str) -> Page:
    keys, infos = listing.keys, listing.infos
    if filter:
        chosen = [index for index, text in enumerate(listing.texts) if filter in text]
        keys, infos = [keys[index] for index in chosen], [infos[index] for index in chosen]
    first = 0 if start is None else bisect.bisect_right(keys, start)
    page = infos[first : first + limit]
    is_last = first + limit >= len(infos)
    return Page(artifacts=page, next=None if is_last else _cursor(page[-1]), total=len(infos))


def _cursor(info: ArtifactInfo) -> str:
    text = f"{info.created.isoformat()} {info.name}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _key_of(cursor: str) -> Key:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        moment, _, name = text.partition(" ")
        return -datetime.fromisoformat(moment).timestamp(), name
    except (binascii.Error, ValueError, OverflowError):
        raise RequestRefusedError(
            400, "InvalidRequest", "after is not the end of a page.", remedy="Give `next` of the page before."
        ) from None


def preview_dict(info: ArtifactInfo, preview: Any) -> dict[str, Any]:
    """Return a preview as the API tells it."""
    table, image = preview.table, preview.image
    return {
        "kind": preview.kind,
        "artifact": info.to_dict(),
        "truncated": preview.truncated,
        "note": preview.note,
        "text": preview.text,
        "table": None
        if table is None
        else {
            "columns": [
                {"name": name, "type": kind} for name, kind in zip(table.names, table.types, strict=True)
            ],
            "rows": [list(row) for row in table.rows],
            "total_rows": table.total_rows,
            "total_columns": table.total_columns,
        },
        "image": None
        if image is None
        else {
            "media_type": "image/png",
            "data": base64.b64encode(image.png).decode(),
            "width": image.width,
            "height": image.height,
            "original_width": image.original_width,
            "original_height": image.original_height,
        },
    }
