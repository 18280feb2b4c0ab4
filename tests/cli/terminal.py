"""The command line as it looks on a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys


def on_a_terminal(*arguments: object) -> str:
    """Run the command line in a process of its own, which must succeed, and return what its terminal was sent."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gpuclust.cli", *map(str, arguments)],
        stdout=follower,
        stderr=follower,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(follower)
    screen = b""
    while True:
        try:
            block = os.read(leader, 4096)
        except OSError:  # the terminal is closed
            break
        if not block:
            break
        screen += block
    os.close(leader)
    assert process.wait() == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.decode())
