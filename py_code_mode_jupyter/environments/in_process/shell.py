"""The IPython shell of one owner: no singleton, nothing global, nothing on disk."""

# Most methods of IPython are not annotated.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import ast
import atexit
import base64
import linecache
import sys
import traceback
from contextlib import nullcontext
from subprocess import CalledProcessError
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from IPython.core.autocall import ExitAutocall
from IPython.core.builtin_trap import BuiltinTrap
from IPython.core.compilerop import CachingCompiler
from IPython.core.display_trap import DisplayTrap
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.history import HistoryManager
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from IPython.display import display
from IPython.utils.text import LSString, SList

from ...results import Output
from . import figures
from .commands import run_command
from .interrupts import Driven, Gate, own_gate, run_open
from .ownership import Channel, Owner, current

if TYPE_CHECKING:
    from collections.abc import Mapping

    from IPython.core.formatters import DisplayFormatter

_OURS = __file__.rpartition("/")[0] + "/"
ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class _Exit(ExitAutocall):
    """``exit`` and ``quit``: they end the run, not the host."""

    def __call__(self, code: object = None) -> None:
        raise SystemExit() if code is None else SystemExit(code)


class _NoBuiltins(BuiltinTrap):
    """Leaves `builtins` alone: every thread of the process shares it."""

    def activate(self) -> None:
        return

    def deactivate(self) -> None:
        return


class _NoTrap(DisplayTrap):
    """Leaves ``sys.displayhook`` alone: the router finds the owner's hook."""

    def set(self) -> None:
        return

    def unset(self) -> None:
        return


class CellCompiler(CachingCompiler):
    """Names cells so that those of two shells never collide in `linecache`."""

    owner_name = ""

    def get_code_name(self, raw_code: str, transformed_code: str, number: int) -> str:
        """Return a file name for a cell."""
        name: str = super().get_code_name(raw_code, transformed_code, number)
        return f"<{self.owner_name}-{name.strip('<>')}>"

    def forget(self) -> None:
        """Remove this shell's cells from `linecache`."""
        for name in self._filename_map:
            linecache.cache.pop(name, None)


class Publisher(DisplayPublisher):
    """Shows displays through the channel of the code that calls."""

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        source: object = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **_: object,
    ) -> None:
        """Show a MIME bundle."""
        self._validate_data(data, metadata)
        display_id = (transient or {}).get("display_id")
        self.shell.emit(
            Output(
                type="update_display_data" if update else "display_data",
                data=_as_text(data),
                metadata=metadata or {},
                display_id=display_id,
            )
        )

    def clear_output(self, wait: bool = False) -> None:
        """Remove what the run has shown."""
        self.shell.emit(Output(type="clear_output", wait=wait))


class Hook(DisplayHook):
    """Shows the value of a cell's last expression and keeps the very object."""

    def quiet(self) -> bool:
        """Whether the cell ends in a semicolon."""
        result = self.exec_result
        cell = result.info.transformed_cell or "" if result is not None else ""
        return ";" in cell and bool(self.semicolon_at_end_of_expression(cell))

    def __call__(self, result: object = None) -> None:
        """Show a value, as ``sys.displayhook``."""
        if result is None:
            return
        if self.quiet():
            return
        self.check_for_underscore()
        self.fill_exec_result(result)
        bundle, metadata = self.compute_format_data(result)
        self.update_user_ns(result)
        if bundle:
            shell: Any = self.shell
            shell.emit(Output(type="execute_result", data=_as_text(bundle), metadata=metadata))


class Shell(InteractiveShell):
    """Runs the cells of one owner.

    Parameters
    ----------
    owner
        Gives the name of the module in which code runs.
    gate
        Opened while user code runs.
    namespaces
        Objects that the code finds under these names.
    """

    compiler_class = CellCompiler
    compile: CellCompiler
    display_formatter: DisplayFormatter
    history_manager: HistoryManager

    def __init__(self, owner: Owner, gate: Gate, namespaces: Mapping[str, Any], **options: Any) -> None:
        self.owner = owner
        self._gate = gate
        self.namespaces = dict(namespaces)
        self.last_traceback = ""
        self._last_error: ErrorInfo | None = None
        super().__init__(
            user_module=ModuleType(owner.name),
            displayhook_class=Hook,
            display_pub_class=Publisher,
            exiter=_Exit(),
            **options,
        )
        atexit.unregister(self.atexit_operations)
        self.compile.owner_name = owner.name
        self._db: Any = {}  # %cd, %bookmark and %store keep what they remember in memory
        printers = self.display_formatter.formatters["image/png"]
        printers.for_type_by_name("matplotlib.figure", "Figure", figures.png)

    @property
    def gate(self) -> Gate:
        """The gate of the calling thread: a kernel may run code in several, with one shell."""
        return own_gate() or self._gate

    # What a shell usually does to its process, and what this one does instead.

    def init_ipython_dir(self, ipython_dir: object) -> None:
        """Keep away from the user's IPython folder."""

    def init_profile_dir(self, profile_dir: object) -> None:
        """Have no profile."""

    def init_virtualenv(self) -> None:
        """Leave ``sys.path`` alone."""

    def init_prompts(self) -> None:
        """Leave ``sys.ps1`` alone."""

    def save_sys_module_state(self) -> None:
        """Save nothing: nothing is changed."""

    def restore_sys_module_state(self) -> None:
        """Restore nothing: nothing was changed."""

    def init_history(self) -> None:
        """Keep the history in memory."""
        self.history_manager = HistoryManager(shell=self, parent=self, enabled=False, hist_file=":memory:")
        self.configurables.append(self.history_manager)  # type: ignore[arg-type]

    def init_builtins(self) -> None:
        """Add nothing to `builtins`."""
        self.builtin_trap = _NoBuiltins(shell=self)

    def init_displayhook(self) -> None:
        """Have a display hook that the router finds."""
        super().init_displayhook()
        self.display_trap = _NoTrap(hook=self.displayhook)

    def init_user_ns(self) -> None:
        """Fill a fresh namespace; ``%reset`` does it again."""
        super().init_user_ns()
        own = {"display": display, **self.namespaces}
        self.user_ns.update(own)
        self.user_ns_hidden.update(own)

    def enable_gui(self, gui: object = None) -> None:
        """Have no GUI event loop."""

    def enable_matplotlib(self, gui: object = None) -> tuple[None, str]:
        """``%matplotlib`` of any kind: figures are shown inline."""
        return None, "inline"

    def _tee(self, channel: str) -> Any:
        # IPython records each write by patching the stream, which is shared here.
        return nullcontext()

    # Showing

    def emit(self, output: Output) -> None:
        """Show an output through the channel of the code that calls."""
        channel: Channel | None = current()
        if channel is not None:
            channel.show(output)

    def show_object(self, value: object) -> None:
        """Display an object, here rather than in whatever shell is found."""
        bundle, metadata = self.display_formatter.format(value)
        self.display_pub.publish(bundle, metadata)

    def _get_exc_info(self, exc_tuple: ErrorInfo | None = None) -> ErrorInfo:
        # IPython notes errors in sys.last_value and keeps the user's frames alive for ever by it.
        error = sys.exc_info()[1]
        if exc_tuple is None and error is not None:
            exc_tuple = type(error), error, error.__traceback__
        self._last_error = exc_tuple or self._last_error
        if self._last_error is None:
            raise ValueError("No exception to find")
        return self._last_error

    def showtraceback(self, exc_tuple: ErrorInfo | None = None, *args: Any, **options: Any) -> None:
        """Show the error that has just occurred."""
        error = exc_tuple[1] if exc_tuple is not None else sys.exc_info()[1]
        if error is not None and _is_grouped(error):
            self._get_exc_info((type(error), error, error.__traceback__))
            self._showtraceback(type(error), error, "".join(traceback.format_exception(error)).splitlines())
        else:
            super().showtraceback(exc_tuple, *args, **options)

    def _showtraceback(self, etype: type[BaseException], evalue: object, stb: list[str]) -> None:
        self.last_traceback = "\n".join(stb)
        self.emit(Output(type="error", name=etype.__name__, text=self.last_traceback))

    def show_usage_error(self, exc: BaseException) -> None:
        """Show that a magic was used wrongly."""
        self._showtraceback(type(exc), exc, [f"UsageError: {exc}"])

    def _format_exception_for_storage(self, exception: BaseException, *_: object, **__: object) -> Any:
        lines = self.last_traceback.splitlines()
        return {"ename": type(exception).__name__, "evalue": text_of(exception), "traceback": lines}

    def debugger(self, force: bool = False) -> None:
        """``%debug``: look at the error that was shown last."""
        if not (force or self.call_pdb):
            return
        if self._last_error is None:
            print("There is no error to look at.", file=sys.stderr)
            return
        pdb = self.debugger_cls()
        pdb.reset()
        pdb.interaction(None, self._last_error[1])

    # Running

    async def run(
        self, code: str, *, store_history: bool = True, silent: bool = False, cell_id: str | None = None
    ) -> ExecutionResult:
        """Run a cell, as `run_cell` does, on the loop that is running."""
        self.last_traceback = ""
        failure: Any = None
        try:
            transformed = self.transform_cell(code)
        except Exception:  # noqa: BLE001 - the boundary of user code
            transformed, failure = code, sys.exc_info()
        result = None
        try:
            result = await self.run_cell_async(
                code,
                store_history=store_history,
                silent=silent,
                transformed_cell=transformed,
                preprocessing_exc_tuple=failure,
                cell_id=cell_id,
            )
        finally:
            self.events.trigger("post_execute")
            if not silent:
                self.events.trigger("post_run_cell", result)
        return result

    async def run_code(
        self, code_obj: Any, result: ExecutionResult | None = None, *, async_: bool = False
    ) -> bool:
        """Execute compiled code; interrupts reach it here and nowhere else."""
        __tracebackhide__ = "__ipython_bottom__"
        error: BaseException | None = None
        if async_:
            try:
                cell = eval(code_obj, self.user_global_ns, self.user_ns)  # noqa: S307 - running code is the purpose
                await Driven(self.gate, cell, main=True)
            except BaseException as caught:  # noqa: BLE001 - the boundary of user code
                error = caught
        else:
            _, error = run_open(self.gate, self._execute, code_obj)
        if error is None:
            return False
        self._failed(error, result)
        return True

    def _execute(self, code_obj: Any) -> None:
        if self.gate.take_pending():
            raise KeyboardInterrupt
        exec(code_obj, self.user_global_ns, self.user_ns)  # noqa: S102 - running code is the purpose

    def _failed(self, error: BaseException, result: ExecutionResult | None) -> None:
        if result is not None:
            result.error_in_exec = error
        if self.gate.doomed:
            return
        error.__traceback__ = self.user_traceback(error.__traceback__)
        info = (type(error), error, error.__traceback__)
        if isinstance(error, self.custom_exceptions):
            self.CustomTB(*info)
        else:
            self.showtraceback(info, tb_offset=0, running_compiled_code=True)

    def knows(self, filename: str) -> bool:
        """Whether the file is a cell of this shell."""
        return filename in self.compile._filename_map

    def label(self, filename: str) -> str | None:
        """Return ``Cell In[n]`` for a cell of this shell."""
        parts = self.compile.format_code_name(filename)
        return " ".join(parts) if parts else None

    def user_traceback(self, trace: TracebackType | None) -> TracebackType | None:
        """Return the part of a traceback that begins with a cell, without frames of this package."""
        while trace is not None and not self.knows(trace.tb_frame.f_code.co_filename):
            trace = trace.tb_next
        steps = []
        while trace is not None:
            if not trace.tb_frame.f_code.co_filename.startswith(_OURS):
                steps.append(trace)
            trace = trace.tb_next
        shown = None
        for step in reversed(steps):
            shown = TracebackType(shown, step.tb_frame, step.tb_lasti, step.tb_lineno)
        return shown

    def transform_ast(self, node: ast.Module) -> ast.Module:
        """Let ``if __name__ == "__main__":`` hold, though the module has a name of its own."""
        for statement in node.body:
            if isinstance(statement, ast.If) and _asks_for_main(statement.test):
                statement.test = ast.copy_location(ast.Constant(value=True), statement.test)
        transformed: ast.Module = super().transform_ast(node)
        return transformed

    def system(self, cmd: str) -> None:
        """Run ``!cmd``; its output is the run's, its exit code is ``_exit_code``."""
        code = run_command(self.var_expand(cmd, depth=1), sys.stdout.write, sys.stderr.write)
        self.user_ns["_exit_code"] = code
        if self.system_raise_on_error and code != 0:
            raise CalledProcessError(code, cmd)

    system_piped = system_raw = system

    def getoutput(self, cmd: str, split: bool = True, depth: int = 0) -> Any:
        """Run a command for ``x = !cmd`` and return its output."""
        parts: list[str] = []
        run_command(self.var_expand(cmd, depth=depth + 1), parts.append, parts.append)
        text = "".join(parts)
        return SList(text.splitlines()) if split else LSString(text)

    def end_magics(self) -> None:
        """End the thread in which ``%%bash`` and its like wait for their process."""
        for magics in self.magics_manager.registry.values():
            finalizer = getattr(magics, "_event_loop_finalizer", None)
            if finalizer is not None:
                finalizer()
            at_exit = getattr(magics, "kill_bg_processes", None)
            if at_exit is not None:
                at_exit()
                atexit.unregister(at_exit)

    def dispose(self) -> None:
        """Let go of everything that the code has made."""
        figures.close_figures(self.owner)
        sys.modules.pop(self.owner.name, None)
        self.compile.forget()
        self._last_error = None
        self.last_execution_result = None
        self.displayhook.exec_result = None
        self.history_manager.reset(new_session=False)
        self.user_ns.clear()
        self.user_ns_hidden.clear()
        self.configurables.clear()


def text_of(error: BaseException) -> str:
    """Return the text of an exception, whatever its ``__str__`` does."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the user's own __str__
        return "<no text: its __str__ failed>"


def _as_text(bundle: Mapping[str, Any]) -> dict[str, Any]:
    return {
        kind: base64.b64encode(data).decode("ascii") if isinstance(data, bytes) else data
        for kind, data in bundle.items()
    }


def _asks_for_main(test: ast.expr) -> bool:
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        return False
    sides = (test.left, test.comparators[0])
    named = any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)
    return named and any(isinstance(side, ast.Constant) and side.value == "__main__" for side in sides)


def _is_grouped(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            return True
        error = error.__context__
    return False
