#!/usr/bin/env python3
"""Requests a second that a client gets from the server, over plain HTTP and over TLS.

Usage: bench_requests.py [--program build/spoton] [--seconds 3] [--clients 4] [--path /healthz]

Each client is a thread that uses Python's http.client as a program would: it keeps its connection as long as
the server does. The ratio to a client that connects anew for each request is what keep-alive gives.
"""
import argparse
import http.client
import os
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
                   check=True, capture_output=True)


def start(program, folder, tls):
    env = {**os.environ, "ENGINE": "fake", "HTTP_PORT": "0"}
    if tls:
        env |= {"TLS_CERT": str(folder / "cert.pem"), "TLS_KEY": str(folder / "key.pem")}
    process = subprocess.Popen([program, "serve"], cwd=folder, env=env, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    return process, int(process.stdout.readline().rsplit(":", 1)[1].strip("/\n"))


def client(port, context, path, anew, end, counts):
    count = connects = 0
    connection = None
    while time.monotonic() < end:
        if connection is None or connection.sock is None:
            connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10) if context else \
                http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connects += 1
        connection.request("GET", path)
        reply = connection.getresponse()
        reply.read()
        assert reply.status == 200, reply.status
        if anew:
            connection.close()
        count += 1
    counts.append((count, connects))


def measure(port, context, options, anew):
    counts, end = [], time.monotonic() + options.seconds
    threads = [threading.Thread(target=client, args=(port, context, options.path, anew, end, counts))
               for _ in range(options.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(count for count, _ in counts) / options.seconds, sum(connects for _, connects in counts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/spoton")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--path", default="/healthz")
    options = parser.parse_args()
    program = Path(options.program).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_certificate(folder)
        for tls in (False, True):
            context = ssl.create_default_context(cafile=folder / "cert.pem") if tls else None
            process, port = start(program, folder, tls)
            try:
                kept, connects = measure(port, context, options, anew=False)
                anew, _ = measure(port, context, options, anew=True)
            finally:
                process.terminate()
                process.wait()
            print(f"{'https' if tls else 'http '}: kept {kept:6.0f} requests/s over {connects} connections, "
                  f"anew {anew:6.0f} requests/s, ratio {kept / anew:.1f}")


if __name__ == "__main__":
    main()
