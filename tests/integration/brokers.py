"""Servers that outputs deliver to, each on a free port, and what they received."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from conftest import SLOWER, free_port


def until(check, seconds=120, what="it"):
    """Waits until check() is true and returns its result; the limit only ends hangs."""
    limit = time.monotonic() + seconds * SLOWER
    while time.monotonic() < limit:
        value = check()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds * SLOWER:.0f} s: {what}")


class Server:
    """A subprocess that listens on a port. Use as a context."""

    program = None

    def __init__(self, folder):
        if not shutil.which(self.program):
            pytest.skip(f"no {self.program} (./setup test)")
        self.folder = folder / self.program
        self.folder.mkdir(exist_ok=True)
        self.port = free_port()
        self.process = None

    def command(self):
        raise NotImplementedError

    def start(self):
        self.log = open(self.folder / "log", "a")
        self.process = subprocess.Popen(self.command(), cwd=self.folder, stdout=self.log, stderr=self.log,
                                        stdin=subprocess.DEVNULL)
        until(self.is_listening, what=f"{self.program} listens")
        return self

    def is_listening(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def end(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.send_signal(signal.SIGCONT)
            self.process.wait(60 * SLOWER)
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.end(signal.SIGKILL)
        self.log.close()


class Mosquitto(Server):
    """`lines`: of its configuration. Without limits, so that what it accepted is with its subscribers at once."""

    program = "mosquitto"

    def __init__(self, folder, lines=("allow_anonymous true",), port=None):
        super().__init__(folder)
        self.port = port or self.port
        self.lines = lines

    def command(self):
        path = self.folder / "mosquitto.conf"
        path.write_text("\n".join([f"listener {self.port} 127.0.0.1", "max_inflight_messages 0", "user root",
                                   *(f"log_type {kind}" for kind in ("error", "warning", "notice", "subscribe")),
                                   "max_queued_messages 0", *self.lines]) + "\n")
        # Debian installs it in sbin, which may not be in PATH.
        return [shutil.which(self.program) or "/usr/sbin/mosquitto", "-c", str(path)]


class Subscriber:
    """mosquitto_sub, which reconnects by itself; messages are (topic, payload)."""

    def __init__(self, broker, topic="#", args=()):
        self.path = broker.folder / f"subscriber-{time.monotonic_ns()}"
        self.file = open(self.path, "wb")
        # A persistent session: what the broker receives while this client is away is delivered later.
        self.process = subprocess.Popen(
            ["mosquitto_sub", "-p", str(broker.port), "-q", "1", "-c", "-i", self.path.name, "-t", topic,
             "-F", "%t\t%p", *args], stdout=self.file, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        # What is sent before it has subscribed is not for it.
        until(lambda: f"{self.path.name} 1 {topic}\n" in (broker.folder / "log").read_text(), what=f"{topic} is subscribed")

    def messages(self):
        text = self.path.read_text(errors="replace")
        return [tuple(line.split("\t", 1)) for line in text[:text.rfind("\n") + 1].splitlines()]

    def objects(self):
        return [json.loads(payload) for _, payload in self.messages() if payload.startswith("{")]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.file.close()


class Delivered:
    """What a consumer that compares ids makes of messages: `lost`, `repeated` and `late` ones by camera."""

    def __init__(self, ids):
        self.last, self.repeated, self.lost, self.late, seen = {}, 0, [], [], set()
        for one in ids:
            if one in seen:
                self.repeated += 1
                continue
            seen.add(one)
            camera, epoch, number = one.split("/")[:3]
            epoch, number = int(epoch), int(number)
            last_epoch, last = self.last.get(camera, (epoch, 0))
            if (epoch, number) < (last_epoch, last):
                self.late.append(one)
                continue
            if number != (last + 1 if epoch == last_epoch else 1):
                self.lost.append(one)
            self.last[camera] = epoch, number

    def check(self, *cameras):
        assert not self.lost and not self.late, (self.lost[:5], self.late[:5])
        assert set(cameras) <= set(self.last), (cameras, self.last)


# sbin holds the servers of Debian.
os.environ["PATH"] += ":/usr/sbin"


class Redis(Server):
    program = "redis-server"

    def command(self):
        return [self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--appendonly", "yes", "--save", "",
                "--requirepass", "s3cret", "--dir", str(self.folder)]

    def read(self, stream):
        """[(id, payload)] of a stream."""
        done = subprocess.run(["redis-cli", "-p", str(self.port), "--no-auth-warning", "-a", "s3cret", "--json", "XRANGE",
                               stream, "-", "+"], capture_output=True, text=True, timeout=60 * SLOWER)
        if not done.stdout.startswith("["):
            return []
        rows = [dict(zip(fields[::2], fields[1::2])) for _, fields in json.loads(done.stdout)]
        return [(row["id"], row["payload"]) for row in rows]

    def ids(self):
        return [one for one, _ in self.read("spoton:all")]


class Nats(Server):
    program = "nats-server"

    def command(self):
        return [self.program, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder), "--user", "cam",
                "--pass", "s3cret"]

    def request(self, subject, body=b""):
        """The reply to a request, by NATS' text protocol."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60 * SLOWER) as client:
            stream = client.makefile("rb")
            stream.readline()
            client.sendall(b'CONNECT {"verbose":false,"user":"cam","pass":"s3cret","headers":true}\r\nSUB inbox 1\r\n'
                           + f"PUB {subject} inbox {len(body)}\r\n".encode() + body + b"\r\n")
            while True:
                words = stream.readline().split()
                assert words, "closed"
                if words[0] == b"PING":
                    client.sendall(b"PONG\r\n")
                if words[0] == b"MSG":
                    return json.loads(stream.read(int(words[-1])))

    def ids(self):
        """Of the stream's messages, by their header Nats-Msg-Id."""
        found = []
        state = self.request("$JS.API.STREAM.INFO.spoton").get("state", {"last_seq": 0})
        for number in range(1, state["last_seq"] + 1):
            reply = self.request("$JS.API.STREAM.MSG.GET.spoton", json.dumps({"seq": number}).encode())
            headers = base64.b64decode(reply["message"]["hdrs"]).decode()
            found.append(re.search(r"Nats-Msg-Id:\s*(\S+)", headers)[1])
        return found
