"""A boot server for a contained machine: keeps what is posted to 10.9.0.1:10000, each in a file.

With the third argument `deploy` it does as the deploy protocol says after a request for `/`: it connects to port 10000
of the address in the request, which ends the deployment.
"""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

FOLDER, STATUS, KIND = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


class Handler(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted."""

    def log_message(self, *arguments: object) -> None:
        """Say nothing: the console is the machine's."""

    def do_POST(self) -> None:
        """Keep one request, then end the deployment if that is what is asked for."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode("utf-8", "surrogateescape")
        kept = {"path": self.path, "type": self.headers["Content-Type"], "body": body}
        number = len(list(FOLDER.glob("*.json")))
        (FOLDER / f"{number:03}.json").write_text(json.dumps(kept))
        self.send_response(STATUS)
        self.end_headers()
        if KIND == "deploy" and self.path == "/" and STATUS == 200:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            if command := os.environ.get("INITIATOR"):
                with (FOLDER / "initiator").open("wb") as said:
                    subprocess.run(["sh", "-c", command], stdout=said, stderr=said, check=False)
            address = urllib.parse.parse_qs(body)["a"][0]
            for _ in range(50):
                try:
                    socket.create_connection((address, 10000), timeout=5).close()
                    return
                except OSError:
                    time.sleep(0.1)


http.server.ThreadingHTTPServer(("10.9.0.1", 10000), Handler).serve_forever()
