"""The Jupyter Server extension: REST routes and an event stream under /pcm/, described by openapi.json."""
