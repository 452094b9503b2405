"""Names of Python, IPython, matplotlib and Jupyter that this room overrides or replaces, in one place.

Each is looked for when it is first needed. A release that no longer has one is refused with an
error that names both, instead of failing somewhere in the middle of a run.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version

from ...errors import ExecutorStartError

_NEEDED: dict[str, dict[str, tuple[str, ...]]] = {
    "Python": {
        "threading": ("_allocate_lock", "Condition._release_save", "Thread.run"),
        "concurrent.futures.thread": ("_worker",),
    },
    "ipython": {
        "IPython.core.interactiveshell": (
            "InteractiveShell._get_exc_info",
            "InteractiveShell._showtraceback",
            "InteractiveShell._format_exception_for_storage",
            "InteractiveShell._tee",
            "InteractiveShell.init_builtins",
            "InteractiveShell.init_profile_dir",
            "InteractiveShell.object_inspect_mime",
            "InteractiveShell.user_expressions",
            "InteractiveShell.init_virtualenv",
            "InteractiveShell.run_code",
            "InteractiveShell.run_cell_async",
            "InteractiveShell.save_sys_module_state",
        ),
        "IPython.core.builtin_trap": ("BuiltinTrap.activate", "BuiltinTrap.deactivate"),
        "IPython.core.display_trap": ("DisplayTrap.set", "DisplayTrap.unset"),
        "IPython.core.compilerop": ("CachingCompiler.get_code_name", "CachingCompiler.format_code_name"),
        "IPython.core.displayhook": ("DisplayHook.fill_exec_result", "DisplayHook.update_user_ns"),
        "IPython.core.displaypub": ("DisplayPublisher._validate_data",),
        "IPython.core.shellapp": ("InteractiveShellApp.init_extensions", "InteractiveShellApp.init_code"),
        "IPython.core.history": ("HistoryManager.end_session", "HistoryManager.get_tail"),
        "IPython.core.completer": ("provisionalcompleter", "rectify_completions", "IPCompleter.completions"),
    },
    "matplotlib": {
        "matplotlib": ("use", "get_backend"),
        "matplotlib._pylab_helpers": ("Gcf.figs",),
        "matplotlib.pyplot": ("_get_backend_mod", "switch_backend", "uninstall_repl_displayhook"),
    },
    "jupyter_client": {
        "jupyter_client.session": ("Session.feed_identities", "Session.deserialize", "Session.msg_id"),
    },
    "comm": {
        "comm": ("create_comm", "get_comm_manager"),
        "comm.base_comm": ("BaseComm.publish_msg", "CommManager.register_comm", "CommManager.comm_open"),
    },
    "ipywidgets": {
        "ipywidgets.widgets.widget": (
            "_instances",
            "Widget.handle_comm_opened",
            "Widget.handle_control_comm_opened",
        ),
        "ipywidgets.widgets.interaction": ("show_inline_matplotlib_plots",),
    },
}
_checked: set[str] = set()


def check(package: str, only: str = "") -> None:
    """Look for every name of `package`: ``Python``, or a distribution; or for those of one module.

    Raises
    ------
    ExecutorStartError
        The installed version lacks one.
    """
    if package + only in _checked:
        return
    for module, names in _NEEDED[package].items():
        if only not in ("", module):
            continue
        for name in names:
            if not _exists(module, name):
                found = sys.version.split()[0] if package == "Python" else version(package)
                raise ExecutorStartError(
                    f"{package} {found} has no {module}.{name}, on which running code here relies.",
                    remedy="Use another release of it, or another executor.",
                )
    _checked.add(package + only)


def _exists(module: str, dotted: str) -> bool:
    found: object = import_module(module)
    for name in dotted.split("."):
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True
