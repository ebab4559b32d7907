#!/usr/bin/env python3
"""A server away for ten minutes of 64 cameras x 25 messages/s, three times: frozen, killed, and cut off by the network.

    .venv/bin/python tests/bench/bench_partition.py [--minutes 10] [--speed 10] [mqtt|redis]

The messages of the ten minutes are made `speed` times faster than by cameras; the server (default: mosquitto) is real
and stopped by SIGSTOP, ended by SIGKILL, or behind a relay that forwards nothing. After each, a consumer's ids are
compared: lost, out of order within a camera, and repeated (a consumer drops these by their id). Takes about two
minutes for each way. Prints a JSON object for each; the exit status is 1 if anything was lost or out of order."""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from brokers import Delivered, Mosquitto, Redis, until  # noqa: E402

RATE = 64 * 25


class Relay:
    """Forwards connections to a port; while `cut`, it accepts them and forwards nothing, as a network without a way."""

    def __init__(self, target):
        self.target, self.cut = target, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.connect, args=(client,), daemon=True).start()

    def connect(self, client):
        self.pause()
        try:
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for a, b in ((client, server), (server, client)):
            threading.Thread(target=self.forward, args=(a, b), daemon=True).start()

    def pause(self):
        while self.cut:
            time.sleep(0.02)

    def forward(self, a, b):
        try:
            while data := a.recv(1 << 18):
                self.pause()
                b.sendall(data)
        except OSError:
            pass
        for one in (a, b):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Ids:
    """The ids of all messages that reach a consumer, in their order."""

    def __init__(self, broker, name):
        self.broker, self.name, self.last = broker, name, "-"
        if name == "mqtt":  # a session that lasts, so that nothing is missed while the broker is away
            self.path = broker.folder / "ids"
            self.process = subprocess.Popen(
                ["mosquitto_sub", "-V", "5", "-p", str(broker.port), "-q", "1", "-c", "-x", "100000", "-i", "consumer",
                 "-t", "spoton/+/tracks/#", "-F", "%P"], stdout=open(self.path, "wb"), stderr=subprocess.DEVNULL)

    def read(self):
        if self.name == "mqtt":
            return [line.removeprefix("id:") for line in self.path.read_text().splitlines()]
        found = []
        while True:
            rows = self.page()
            found += [fields[fields.index("id") + 1] for _, fields in rows]
            if len(rows) < 10000:
                return found
            self.last = "(" + rows[-1][0]

    def page(self):
        done = subprocess.run(["redis-cli", "-p", str(self.broker.port), "--no-auth-warning", "-a", "s3cret", "--json",
                               "XRANGE", "spoton:tracks", self.last, "+", "COUNT", "10000"], capture_output=True, text=True)
        return json.loads(done.stdout)

    def end(self):
        if self.name == "mqtt":
            self.process.kill()
            self.process.wait()


class Source:
    """bench_outbox, which makes messages when asked."""

    def __init__(self, outputs):
        self.process = subprocess.Popen(
            [ROOT / "build" / "tests" / "bench" / "bench_outbox", outputs, "script=1"], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, "SPOTON_OUTPUT_DIR": str(ROOT / "build" / "outputs"), "PASSWORD": "s3cret"})

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def measure(name, way, folder, arguments):
    kind = {"mqtt": Mosquitto, "redis": Redis}[name]
    with kind(folder) as broker:
        relay, ids = Relay(broker.port), Ids(broker, name)
        if name == "mqtt":
            time.sleep(1)  # subscribed
        more = "" if name == "mqtt" else "&password_env=PASSWORD"
        source = Source(f"{name}?url={name}://127.0.0.1:{relay.port}{more}")
        source.ask(f"make {RATE * 5} {RATE}")
        source.ask("wait")
        relay.cut = way == "partitioned"
        if way == "frozen":
            broker.freeze()
        elif way == "killed":  # all that it has accepted is with its consumer
            time.sleep(2)
            broker.end(signal.SIGKILL)
        away = source.ask(f"make {RATE * 60 * arguments.minutes:.0f} {RATE * arguments.speed:.0f}")
        relay.cut = False
        if way == "frozen":
            broker.thaw()
        elif way == "killed":
            broker.start()
        begin = time.monotonic()
        last = source.ask("wait")
        took = time.monotonic() - begin
        wanted = last["made"]
        if name == "mqtt":
            until(lambda: len(set(ids.read())) >= wanted, 60, "the consumer has all")
        found = ids.read()
        source.process.stdin.close()
        source.process.wait()
        ids.end()
    delivered = Delivered(found)
    print(json.dumps({
        "output": name, "way": way, "made": wanted, "lag_messages": away["lag_messages"],
        "outbox_mb": round(away["outbox_bytes"] / 1e6), "lost": wanted - len(set(found)) + last["lost"],
        "out_of_order": len(delivered.late) + len(delivered.lost), "repeated": delivered.repeated,
        "catch_up_s": round(took, 1), "messages_per_second": round(away["lag_messages"] / took),
        "of_real_time": round(away["lag_messages"] / took / RATE, 1)}), flush=True)
    return wanted == len(set(found)) and not delivered.late and not delivered.lost


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--speed", type=float, default=10)
    parser.add_argument("name", nargs="?", default="mqtt", choices=["mqtt", "redis"])
    arguments = parser.parse_args()
    well = True
    for way in ("frozen", "killed", "partitioned"):
        with tempfile.TemporaryDirectory() as folder:
            well &= measure(arguments.name, way, Path(folder), arguments)
    return not well


if __name__ == "__main__":
    sys.exit(main())
