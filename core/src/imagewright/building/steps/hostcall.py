"""The process in which a step's function runs as the caller on the host. It is run as a file.

Usage: hostcall.py DESCRIPTOR < JOB  (JOB is JSON: path, function, arguments, environment; the answer goes to the file)
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Call the function, tell what became of it, and end."""
    job = json.load(sys.stdin.buffer)
    # the environment of Python is the builder's, whatever the step's variables are
    sys.path[:] = job["path"]
    from imagewright.sandbox.launcher.worker import call

    call(job, int(sys.argv[1]))


if __name__ == "__main__":
    main()
