"""A kernel as libraries look for it: ``get_ipython().kernel``."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, final

from ..ownership import current
from .output import CellChannel

if TYPE_CHECKING:
    from .front import Message
    from .life import Life

PROTOCOL = "5.4"
WARNING = """\
This kernel runs inside the Jupyter server's own process, as fast as that is and as exposed:
os._exit(), a crash in C code or running out of memory end the server and every notebook of it, and
sys.modules, os.environ and installed packages are shared with the server and its other kernels.
Use it for code that you trust; "Python (isolated venv)" has a process of its own.
"""


@final
class KernelView:
    """The attributes of ipykernel's kernel that libraries use. It keeps the kernel from nothing."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self.log = logging.getLogger("py_code_mode_jupyter.kernel")
        self.session = life.front.session
        self.iopub_socket = life.front["iopub"]
        self.implementation = "ipython"

    @property
    def shell(self) -> Any:
        """The shell."""
        return self._life.shell

    @property
    def comm_manager(self) -> Any:
        """The comms of this kernel."""
        return self._life.comms

    @property
    def execution_count(self) -> int:
        """The number of the next cell."""
        return int(self._life.shell.execution_count)

    def get_parent(self, channel: str | None = None) -> Message:
        """Return the request for which code is running; of no code, the last one."""
        here = current()
        return here.message if isinstance(here, CellChannel) else self._life.last

    def send_response(self, stream: Any, kind: str, content: Message | None = None, **options: Any) -> None:
        """Send a message as caused by the request for which code is running."""
        self.session.send(stream, kind, content, self.get_parent(), **options)

    def about(self) -> Message:
        """Return the content of a ``kernel_info_reply``."""
        from IPython.core import release

        return {
            "status": "ok",
            "protocol_version": PROTOCOL,
            "implementation": self.implementation,
            "implementation_version": release.version,
            "language_info": {
                "name": "python",
                "version": sys.version.split()[0],
                "mimetype": "text/x-python",
                "codemirror_mode": {"name": "ipython", "version": sys.version_info[0]},
                "pygments_lexer": f"ipython{sys.version_info[0]}",
                "nbconvert_exporter": "python",
                "file_extension": ".py",
            },
            "banner": self._banner(),
            "help_links": _LINKS,
            "debugger": False,
            "supported_features": ["kernel subshells"],
        }

    def _banner(self) -> str:
        shell = self._life.shell
        return f"{shell.banner if shell is not None else ''}\n{WARNING}"


_LINKS = [
    {
        "text": "Python Reference",
        "url": f"https://docs.python.org/{sys.version_info[0]}.{sys.version_info[1]}",
    },
    {"text": "IPython Reference", "url": "https://ipython.readthedocs.io/en/stable/"},
    {"text": "NumPy Reference", "url": "https://docs.scipy.org/doc/numpy/reference/"},
    {"text": "Matplotlib Reference", "url": "https://matplotlib.org/stable/"},
    {"text": "pandas Reference", "url": "https://pandas.pydata.org/docs/"},
]
