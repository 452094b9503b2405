"""A Jupyter kernel in the host's own process, served to unmodified clients over ZeroMQ.

A `Kernel` has a `Front`, the sockets, which survives restarts, and a `Life`, the shell and its
threads, which does not. The sockets of all kernels of a process are served by one thread, the
`Hub`; each kernel adds one thread, in which its code runs. The code is owned, routed, interrupted
and ended as in the `InProcessEnvironment`: by the modules of the folder above.
"""
