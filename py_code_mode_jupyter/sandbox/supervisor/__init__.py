"""What runs as the first process of a container: an HTTP server, and the one kernel it keeps.

It is started with ``-m``, reads one line from its standard input that says who may speak with it,
and serves that stream from then on. The end of the stream is the end of the container.
"""
