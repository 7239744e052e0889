"""Python, as a process of our own is started with it."""

import sys

PYTHON = (sys.executable, "-P")
"""A `types.py` in the folder that somebody happens to be in is none of ours."""
