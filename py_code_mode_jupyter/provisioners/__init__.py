"""Kernel provisioners: thin adapters that make each place a kernel in Jupyter's own terms."""
