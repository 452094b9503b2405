"""The first process of a container.

In this order: nobody may look into this process; the settings are read; from then on the end of the
stream is the end of the container; the kernel's process is started, and imports what it needs while this
one imports what it serves with; what holds is measured; the kernel is told what it is to be; requests
are served.
"""

from __future__ import annotations

import signal
import sys

from .. import confine
from ..contained import NOTEBOOK
from . import lifeline
from .settings import Settings, SettingsError, parse, read_line

_REFUSED = 78  # EX_CONFIG, sysexits.h


def main() -> None:
    """Serve until the attached stream ends."""
    confine.hide_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        line, rest = read_line(0)
        settings = parse(line)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(_REFUSED)
    del line
    lifeline.hold(0)
    _serve(settings, rest)


def _serve(settings: Settings, already_read: bytes) -> None:
    # Imported here: the host may have gone while this process was starting, and many do at once.
    import asyncio
    import functools
    import logging
    import os

    from . import measure
    from .spawning import spawn

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    log, for_kernels = os.pipe()
    mode = sys.argv[1] if len(sys.argv) > 1 else NOTEBOOK
    spawned = spawn(mode, for_kernels)
    from .place import Place
    from .serving import serve

    measured = measure.limits()
    place = Place(functools.partial(spawn, mode, for_kernels), spawned, log)
    asyncio.run(serve(place, settings, measured, already_read))


if __name__ == "__main__":
    main()
