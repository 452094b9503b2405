"""The routes: parse, ask the state, answer. Every one is described in ``openapi.json``."""

from __future__ import annotations

from typing import Any

from . import artifacts, events, installation, kernels, notebooks, runs, sessions, workflows

_NAME = r"(?P<name>[^/]+)"
_ID = r"(?P<id>[^/]+)"

ROUTES: list[tuple[str, type[Any]]] = [
    (r"/pcm/health", installation.HealthHandler),
    (r"/pcm/places", installation.PlacesHandler),
    (r"/pcm/kernels", kernels.KernelsHandler),
    (rf"/pcm/kernels/{_ID}", kernels.KernelHandler),
    (rf"/pcm/kernels/{_ID}/probe", kernels.KernelProbeHandler),
    (r"/pcm/sessions", sessions.SessionsHandler),
    (rf"/pcm/sessions/{_ID}/probe", sessions.SessionProbeHandler),
    (rf"/pcm/sessions/{_ID}/(?P<action>interrupt|reset|restart|stop)", sessions.SessionActionHandler),
    (r"/pcm/artifacts", artifacts.ArtifactsHandler),
    (rf"/pcm/artifacts/{_NAME}", artifacts.ArtifactHandler),
    (rf"/pcm/artifacts/{_NAME}/versions", artifacts.VersionsHandler),
    (rf"/pcm/artifacts/{_NAME}/preview", artifacts.PreviewHandler),
    (rf"/pcm/artifacts/{_NAME}/content", artifacts.ContentHandler),
    (r"/pcm/workflows", workflows.WorkflowsHandler),
    (rf"/pcm/workflows/{_NAME}", workflows.WorkflowHandler),
    (r"/pcm/runs", runs.RunsHandler),
    (r"/pcm/runs/notebook", runs.SessionNotebookHandler),
    (rf"/pcm/runs/{_ID}", runs.RunHandler),
    (rf"/pcm/runs/{_ID}/notebook", runs.RunNotebookHandler),
    (r"/pcm/settings/check", notebooks.SettingsHandler),
    (r"/pcm/events", events.EventsHandler),
]
"""Pattern below the server's base URL, and handler."""
