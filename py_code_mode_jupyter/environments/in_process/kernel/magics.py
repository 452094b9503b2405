"""Magics that kernels have and terminals have not."""

# IPython's decorators and methods are not annotated.
# mypy: disallow-untyped-calls=False, disallow-untyped-decorators=False, disallow-subclassing-any=False

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from threading import get_ident
from typing import TYPE_CHECKING, Any

from IPython.core import page
from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class

if TYPE_CHECKING:
    from .shell import KernelShell


@magics_class
class KernelMagics(Magics):
    """What ipykernel adds, as far as it concerns a kernel that has no process of its own."""

    shell: KernelShell

    @line_magic
    def less(self, line: str) -> None:
        """Show a file in the pager: ``%less FILE``."""
        self._show(line.strip())

    @line_magic
    def more(self, line: str) -> None:
        """Show a file in the pager: ``%more FILE``."""
        self._show(line.strip())

    def _show(self, name: str) -> None:
        if not name:
            raise UsageError("Which file?")
        text = Path(name).expanduser().read_text(errors="replace")
        page.page(self.shell.pycolorize(text) if name.endswith(".py") else text)

    @line_magic
    def man(self, line: str) -> None:
        """Show a manual page in the pager: ``%man NAME``."""
        command = [shutil.which("man") or "man", "-P", "cat", *line.split()]
        shown = subprocess.run(command, capture_output=True, text=True, check=False)
        page.page(shown.stdout or shown.stderr)

    @line_magic
    def edit(self, line: str) -> None:
        """Let the frontend open a file: ``%edit FILE``."""
        path = str(Path(line.strip()).expanduser().absolute())
        payload: dict[str, Any] = {"source": "edit_magic", "filename": path, "line_number": 1}
        self.shell.payload_manager.write_payload(payload)

    @line_magic
    def connect_info(self, line: str) -> None:
        """Print where this kernel listens, without its key."""
        about = {name: value for name, value in self.shell.life.front.connection.items() if name != "key"}
        print(json.dumps(about, indent=2))

    @line_magic
    def subshell(self, line: str) -> None:
        """Print the subshells, and in which one this cell runs."""
        lanes = self.shell.life.lanes
        here = [name for name, lane in lanes.items() if lane.worker.thread.ident == get_ident()]
        print(f"subshell id: {here[0] if here else None}")
        print(f"subshell list: {[name for name in lanes if name is not None]}")
