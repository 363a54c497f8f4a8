"""Answer HTTP requests on standard input and output, from a JSON file of answers.

QEMU starts one such process for every connection to 169.254.169.254. It is a script of its own with few imports, as
its start is paid for every request.
"""

from __future__ import annotations

import json
import sys
from typing import BinaryIO, TextIO

_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed"}


def serve(answers: dict[str, str], requests: BinaryIO, replies: BinaryIO, log: TextIO) -> None:
    """Answer until the other side closes; one line per request goes to ``log``: status, method, path."""
    while line := requests.readline():
        words = line.decode("latin-1").split()
        if len(words) != 3:
            return
        method, path, _ = words
        headers = _headers(requests)
        requests.read(int(headers.get("content-length", "0")))
        status, body = answer(answers, method, path)
        log.write(f"{status} {method} {path}\n")
        log.flush()
        content = body.encode()
        head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: text/plain\r\n"
        head += f"Content-Length: {len(content)}\r\n\r\n"
        replies.write(head.encode() + (b"" if method == "HEAD" else content))
        replies.flush()
        if headers.get("connection", "").lower() == "close":
            return


def answer(answers: dict[str, str], method: str, path: str) -> tuple[int, str]:
    """Status and body for one request. A folder is listed with or without a slash at its end."""
    path = path.partition("?")[0]
    if method == "PUT" and path == "/latest/api/token":
        return 200, "token"  # the session of EC2's second version; any client gets the same one
    if method not in {"GET", "HEAD"}:
        return 405, ""
    for candidate in (path, path.removesuffix("/"), path + "/"):
        if candidate in answers:
            return 200, answers[candidate]
    return 404, ""


def _headers(requests: BinaryIO) -> dict[str, str]:
    headers: dict[str, str] = {}
    while (line := requests.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        known = json.load(file)
    with open(sys.argv[2], "a", encoding="utf-8") as record:
        serve(known, sys.stdin.buffer, sys.stdout.buffer, record)
