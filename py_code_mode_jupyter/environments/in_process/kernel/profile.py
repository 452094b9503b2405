"""The user's IPython profile: configuration, extensions and startup files, as any kernel has them."""

# Most methods of IPython are not annotated.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from IPython.core.application import ENV_CONFIG_DIRS, SYSTEM_CONFIG_DIRS
from IPython.core.profiledir import ProfileDir
from IPython.core.shellapp import InteractiveShellApp
from IPython.paths import get_ipython_dir
from traitlets.config import Config
from traitlets.config.loader import JSONFileConfigLoader, PyFileConfigLoader

from ..ownership import run_for

if TYPE_CHECKING:
    from ..ownership import Channel
    from .shell import KernelShell

_log = logging.getLogger(__name__)
_FILES = ("ipython_config", "ipython_kernel_config")  # the second wins


@final
class Profile:
    """The profile ``default``, read anew for each start.

    Attributes
    ----------
    folder
        Its folder.
    config
        What its files and those of the machine say.
    """

    def __init__(self) -> None:
        self.ipython_dir: str = get_ipython_dir()
        self.folder: ProfileDir = ProfileDir.create_profile_dir_by_name(self.ipython_dir, "default")
        self.config = self._read()

    def _read(self) -> Config:
        found = Config()
        for name in _FILES:
            for folder in (*reversed(SYSTEM_CONFIG_DIRS), *ENV_CONFIG_DIRS, self.folder.location):
                for file in (Path(folder, f"{name}.py"), Path(folder, f"{name}.json")):
                    if file.is_file():
                        found.merge(_read(file))
        found.IPKernelApp.parent_appname = "py_code_mode_jupyter"  # tqdm knows a notebook by this section
        return found

    def start(self, shell: KernelShell, channel: Channel) -> None:
        """Load extensions and run the code that the user wants to run first, with output to `channel`."""
        run_for(channel, _Startup(self, shell).run)


def _read(file: Path) -> Config:
    loader = PyFileConfigLoader if file.suffix == ".py" else JSONFileConfigLoader
    try:
        found: Config = loader(file.name, path=str(file.parent)).load_config()
        return found
    except Exception:  # noqa: BLE001 - the user's own code; a kernel without it is worth more than none
        _log.exception("%s could not be read", file)
        return Config()


class _Startup(InteractiveShellApp):
    """IPython's own order of starting, without what concerns a whole process."""

    def __init__(self, profile: Profile, shell: KernelShell) -> None:
        super().__init__(config=profile.config)
        self.shell = shell
        self.profile_dir = profile.folder
        self.ipython_dir = profile.ipython_dir
        self.extra_args: list[str] = []
        self.log: Any = _log

    def run(self) -> None:
        """Start."""
        self.init_gui_pylab()
        self.init_extensions()
        self.init_code()
