"""The magic itself: what is configured, who does what was typed, and how errors look."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, final

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Bool, Dict, Enum, Float, Int, Unicode

from ..display import one_line
from ..errors import CodeModeError, ConfigurationError
from .commands import GRAMMAR
from .completion import Matcher
from .names import EXECUTORS
from .notebook import Notebook

if TYPE_CHECKING:
    from .parser import Request, Subcommand

_LONGEST_ERROR = 1_000


@final
@magics_class
class PcmMagics(Magics):
    """``%pcm`` in one shell, with the sessions it has made."""

    executor = Enum(
        EXECUTORS,
        "in-process",
        help="Executor of the current session, unless `%pcm use` names one: what is meant without -e and -s.",
    ).tag(config=True)
    storage_root = Unicode(
        "", help="Folder of the storage, unless PCM_STORAGE names one; empty: pcm in Jupyter's data folder."
    ).tag(config=True)
    debug = Bool(False, help="Show whole tracebacks of this package's errors.").tag(config=True)
    closing_timeout = Float(10.0, min=0.0, help="Seconds to wait for sessions to close.").tag(config=True)
    timeout = Float(
        None, allow_none=True, help="Seconds that a run may take without -t; None: the session's own limit."
    ).tag(config=True)
    no_raise = Bool(False, help="Let the notebook go on after a failed run, as --no-raise does.").tag(
        config=True
    )
    rows = Int(20, min=1, help="Rows of a list without -n.").tag(config=True)
    in_process = Dict(help="Fields of InProcessConfig for new sessions in this process.").tag(config=True)
    venv = Dict(help="Fields of SubprocessConfig for new sessions in a venv.").tag(config=True)
    container = Dict(help="Fields of ContainerConfig for new sessions in a container, without secrets.").tag(
        config=True
    )

    def __init__(self, shell: Any = None, **options: Any) -> None:
        super().__init__(shell, **options)
        self.notebook = Notebook(shell, self)
        self._matcher = Matcher(self.notebook, GRAMMAR)
        self._matcher.register(shell)

    @no_var_expand
    @line_cell_magic
    def pcm(self, line: str, cell: str | None = None) -> None:
        """Run code in sessions, in this process or isolated, and look after all that they keep.

        %pcm run CODE, %%pcm run, %pcm start, %pcm sessions, %pcm stop and more: `%pcm --help` lists them, and
        Tab completes them.
        """
        # Before anything is parsed: what is wrong may be what stands behind it.
        debug = self.debug or line.split()[:1] == ["--debug"]
        try:
            if cell is not None and not line.strip():
                raise ConfigurationError(
                    "subcommand", "", "none was given.", remedy="Did you mean `%%pcm run`?"
                )
            subcommand, request = GRAMMAR.parse(line, cell)
            if subcommand is not None:
                self._do(subcommand, request)
        except CodeModeError as error:
            if debug:
                raise
            raise in_one_line(error) from None

    def _do(self, subcommand: Subcommand, request: Request) -> None:
        if request.cell is not None and not subcommand.takes_cell:
            remedy = f"Use `%pcm {subcommand.path}`, with one %; `%%pcm run` runs the lines below it."
            raise ConfigurationError("subcommand", subcommand.path, "takes no lines below it.", remedy=remedy)
        subcommand.do(self.notebook, request)

    def close(self) -> None:
        """Close every session, end the thread they lived on, and complete nothing any more."""
        self._matcher.unregister(self.shell)
        self.notebook.close()

    def _event_loop_finalizer(self) -> None:
        # The shell of an in-process session calls this by the name that IPython's own magics use.
        self.close()


def in_one_line(error: CodeModeError) -> CodeModeError:
    """Return the error, made to show itself as one line without a traceback.

    What isolated code wrote into its message comes without control characters.
    """
    more = " (`%pcm --debug ...` shows more.)" if getattr(error, "log", "") else ""
    said = one_line(f"{error.message} {error.remedy}", _LONGEST_ERROR)
    # Read by IPython; a partial, unlike a closure, lets the error be pickled.
    error.__dict__["_render_traceback_"] = partial(_lines, f"{type(error).__name__}: {said}{more}")
    return error


def _lines(text: str) -> list[str]:
    return text.splitlines()
