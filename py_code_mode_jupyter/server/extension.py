"""The extension as Jupyter Server sees it: traits, wiring, begin and end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Bool, Float, Int, Unicode

from . import activity, telemetry, websocket
from .handlers import ROUTES
from .settings import ServerSettings, storage_folder
from .state import ServerState

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

STATE = "pcm_state"
"""The key of the state in the web application's settings."""


class CodeModeExtension(ExtensionApp):
    """Routes and events under ``/pcm/``, and prompt websockets for all kernels.

    It is configured with ``c.CodeModeExtension...``.
    """

    name = "py_code_mode_jupyter"
    app_name = "py_code_mode_jupyter"
    load_other_extensions = True
    extension_url = "/pcm/health"

    storage_root = Unicode("", help="Storage folder; empty: 'pcm' in Jupyter's data folder.").tag(config=True)
    no_delay = Bool(
        True,
        help="Send kernels' messages to browsers at once: without Nagle's delay, unless"
        " ServerApp.kernel_websocket_connection_class is set, and before the server notes their activity.",
    ).tag(config=True)
    max_upload = Int(256 * 2**20, help="Bytes of an artifact that is uploaded.").tag(config=True)
    max_event_clients = Int(64, help="Clients that may listen to events at a time.").tag(config=True)
    event_queue = Int(256, help="Events that may wait for a client before it is disconnected.").tag(
        config=True
    )
    event_timeout = Float(
        10.0, help="Seconds that a client may take for one event before it is disconnected."
    ).tag(config=True)
    watch_interval = Float(0.5, help="Seconds between two looks at what has changed.").tag(config=True)
    usage_interval = Float(2.0, help="Seconds for which memory and CPU time count as measured.").tag(
        config=True
    )

    def initialize_settings(self) -> None:
        """Make the state; called by Jupyter Server when it loads the extension."""
        assert self.serverapp is not None and self.serverapp.event_logger is not None
        settings = ServerSettings(
            storage=storage_folder(self.storage_root),
            max_upload=self.max_upload,
            max_event_clients=self.max_event_clients,
            event_queue=self.event_queue,
            event_timeout=self.event_timeout,
            watch_interval=self.watch_interval,
            usage_interval=self.usage_interval,
        )
        telemetry.register(self.serverapp.event_logger)
        prompt = {}
        if self.no_delay:
            prompt = websocket.install(self.serverapp)
            activity.install(self.serverapp.kernel_manager)
        self.state = ServerState(self.serverapp, settings, no_delay=bool(prompt))
        # The web application takes all of them over, and gave us those that it had.
        self.settings |= {**prompt, STATE: self.state}

    def initialize_handlers(self) -> None:
        """Add the routes; called by Jupyter Server when it loads the extension."""
        self.handlers.extend(ROUTES)

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        """Begin to watch; called by Jupyter Server once its event loop runs."""
        self.state.start()

    async def stop_extension(self) -> None:
        """End what was begun; called by Jupyter Server when it shuts down."""
        await self.state.close()


def main(arguments: list[str] | None = None) -> Any:
    """Start a Jupyter Server with this extension."""
    return CodeModeExtension.launch_instance(arguments)
