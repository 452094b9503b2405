"""A fresh virtual environment with a kernel in it."""
