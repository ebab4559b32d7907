#!/usr/bin/env python3
"""Receives CloudEvents 1.0 of the webhook output, in binary or structured mode, and prints them.

    HOOK_SECRET=... python3 cloudevents.py 8080
    OUTPUTS='webhook?url=http://127.0.0.1:8080/&secret_env=HOOK_SECRET' spoton serve ...
"""

import base64
import hashlib
import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def is_signed(headers, body, secret):
    text = headers.get("X-Spoton-Timestamp", "").encode() + b"." + body
    wanted = "sha256=" + hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, headers.get("X-Spoton-Signature", ""))


def data_of(event):
    """An object, or the bytes of an image."""
    return base64.b64decode(event["data_base64"]) if "data_base64" in event else event["data"]


def events(headers, body):
    """(id, type, data) of a request: one event, or a batch."""
    kind = headers.get("Content-Type", "")
    if "cloudevents" in kind:
        found = json.loads(body)
        return [(one["id"], one["type"], data_of(one)) for one in (found if isinstance(found, list) else [found])]
    return [(headers.get("ce-id"), headers.get("ce-type"), json.loads(body) if "json" in kind else body)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen = set()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        secret = os.environ.get("HOOK_SECRET")
        good = not secret or is_signed(self.headers, body, secret)
        for one, kind, data in events(self.headers, body) if good else []:
            if one not in self.seen:
                self.seen.add(one)
                print(one, kind, f"{len(data)} bytes" if isinstance(data, bytes) else json.dumps(data), flush=True)
        self.send_response(204 if good else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
