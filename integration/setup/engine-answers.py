#!/usr/bin/env python3
"""Ends with 0 if a Docker engine answers at the given address, with 1 and the reason if not.

    engine-answers.py unix:///var/run/docker.sock

The docker command may be missing where the engine runs, so the engine is asked directly.
"""
import http.client
import socket
import sys


def connect(address):
    """Opens `unix://PATH` or `tcp://HOST:PORT` with a deadline."""
    kind, _, rest = address.partition("://")
    if kind == "unix":
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.settimeout(5)
        stream.connect(rest)
        return stream
    if kind in ("tcp", "http"):
        host, _, port = rest.rstrip("/").rpartition(":")
        return socket.create_connection((host, int(port)), timeout=5)
    raise ValueError(f"cannot ask an engine at `{address}`")


def main():
    try:
        connection = http.client.HTTPConnection("engine")
        connection.sock = connect(sys.argv[1])
        connection.request("GET", "/_ping")
        answer = connection.getresponse()
        if answer.status != 200:
            raise OSError(f"status {answer.status}")
    except (OSError, ValueError, http.client.HTTPException) as why:
        print(f"no engine answers at {sys.argv[1]}: {why}", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
