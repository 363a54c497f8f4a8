"""What the host has to give a build: its tools and places, looked at before any work, the work folder, the network.

Everything here can be asked without a running build.
"""

from __future__ import annotations
