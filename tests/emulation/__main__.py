"""`python -m tests.emulation tsan path/of/module.py::case`: see `tests.emulation.sanitize`."""

import sys

from .sanitize import main

main(sys.argv[1:])
