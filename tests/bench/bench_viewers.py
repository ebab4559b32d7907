#!/usr/bin/env python3
"""Measures the cost of many viewers to the pipeline.

    .venv/bin/python tests/bench/bench_viewers.py [--mjpeg 200] [--ws 200] [--deaf 20] [--turns 3]

Starts `spoton serve` on the demo clip as --cameras looping cameras. Alternates between no viewers, and --mjpeg
viewers and --ws WebSocket clients of c1, of which --deaf request frames and never read (the server must
disconnect them after 10 s). Reports for both: frames/s of the pipeline, CPU seconds per second of the server
process and of its threads by name, memory, and what the viewers received. The clients read on one thread and
let the kernel discard the data (MSG_TRUNC), so that they use little CPU time, which is reported too. The last
line is a JSON object."""

import argparse
import json
import os
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from serving import Serving, read_until, upgrade_request  # noqa: E402

WARM_UP_S = 4
TICKS = os.sysconf("SC_CLK_TCK")


class Crowd:
    """Connections that read and forget; `bytes` counts what each got."""

    def __init__(self, port, mjpeg, ws, deaf):
        self.poll, self.sockets, self.bytes, self.stop = select.epoll(), {}, {}, False
        self.kinds, self.deaf = {}, []
        mjpeg_request = b"GET /api/v2/cameras/c1/stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        ws_request = upgrade_request("/api/v2/ws?cameras=c1")
        deaf_request = upgrade_request("/api/v2/ws?cameras=c1&format=binary&jpeg=1")
        for number in range(mjpeg + ws):
            is_deaf = number >= mjpeg + ws - deaf
            client = socket.socket()
            if is_deaf:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            if is_deaf:
                client.sendall(deaf_request)
                self.deaf.append(client)
                continue
            client.sendall(mjpeg_request if number < mjpeg else ws_request)
            client.setblocking(False)
            self.sockets[client.fileno()] = client
            self.bytes[client.fileno()] = 0
            self.kinds[client.fileno()] = "mjpeg" if number < mjpeg else "ws"
            self.poll.register(client.fileno(), select.EPOLLIN)
        self.closed = 0
        self.thread = threading.Thread(target=self.read)
        self.thread.start()

    def read(self):
        buffer = bytearray(1 << 20)
        while not self.stop:
            for number, _ in self.poll.poll(0.2):
                try:
                    got = self.sockets[number].recv_into(buffer, len(buffer), socket.MSG_TRUNC)
                except BlockingIOError:
                    continue
                self.bytes[number] += got
                if got == 0:
                    self.closed += 1
                    self.poll.unregister(number)
            time.sleep(0.005)  # gather: fewer wake-ups for the same data

    def leave(self):
        self.stop = True
        self.thread.join()
        for client in [*self.sockets.values(), *self.deaf]:
            client.close()


class Witness(threading.Thread):
    """One more viewer, who takes the frames apart."""

    def __init__(self, serving):
        super().__init__()
        self.client = serving.raw(b"GET /api/v2/cameras/c1/stream.mjpg HTTP/1.1\r\n"
                                  b"Host: 127.0.0.1\r\n\r\n")
        self.frames, self.bytes, self.stop = 0, 0, False
        self.start()

    def run(self):
        data = read_until(self.client, b"\r\n\r\n", b"")[2]
        while not self.stop:
            part, _, data = read_until(self.client, b"--frame\r\n", data)
            self.frames += part.endswith(b"\xff\xd9\r\n")
            self.bytes += len(part) + len(b"--frame\r\n")

    def leave(self):
        self.stop = True
        self.join()
        self.client.close()


def cpu_seconds(process, thread="*"):
    """By thread name, and in all."""
    names = {}
    for folder in Path(f"/proc/{process}/task").glob(thread):
        try:
            text = (folder / "stat").read_text()
        except FileNotFoundError:
            continue
        name = text[text.index("(") + 1:text.rindex(")")]
        fields = text[text.rindex(")") + 2:].split()
        name = name.split("-")[0] if name.startswith(("cam-", "track-")) else name
        names[name] = names.get(name, 0) + (int(fields[11]) + int(fields[12])) / TICKS
    return names


def observe(serving, seconds):
    time.sleep(WARM_UP_S)
    process = serving.process.pid
    ledger, cpu, own = serving.get("/api/v2/ledger")["total"], cpu_seconds(process), time.process_time()
    begin, memory = time.monotonic(), 0
    while time.monotonic() - begin < seconds:
        time.sleep(0.5)
        memory = max(memory, serving.memory_bytes())
    spent = time.monotonic() - begin
    after, cpu_after = serving.get("/api/v2/ledger")["total"], cpu_seconds(process)
    used = {name: (cpu_after[name] - cpu.get(name, 0)) / spent for name in cpu_after}
    return {"frames_per_s": (after["inferred"] - ledger["inferred"]) / spent,
            "received_per_s": (after["received"] - ledger["received"]) / spent,
            "server_cpu": sum(used.values()), "client_cpu": (time.process_time() - own) / spent,
            "memory_mb": memory / 1e6, "balanced": serving.get("/api/v2/ledger")["balanced"],
            "threads": {name: round(value, 3) for name, value in
                        sorted(used.items(), key=lambda row: -row[1]) if value >= 0.005}}


def turn(arguments, serving):
    alone = observe(serving, arguments.seconds)
    crowd = Crowd(serving.port, arguments.mjpeg, arguments.ws, arguments.deaf)
    try:
        witness = Witness(serving)
        time.sleep(2)
        before, seen = dict(crowd.bytes), (witness.frames, witness.bytes)
        begin = time.monotonic()
        watched = observe(serving, arguments.seconds)
        spent = time.monotonic() - begin
        got = {number: n - before[number] for number, n in crowd.bytes.items()}
        watched["frames_per_s"] = (witness.frames - seen[0]) / spent
        share = [n / (witness.bytes - seen[1]) for number, n in got.items()
                 if crowd.kinds[number] == "mjpeg"]
        watched["share_of_frames"] = {"least": min(share), "median": statistics.median(share)}
        messages = [n for number, n in got.items() if crowd.kinds[number] == "ws"]
        watched["ws_least_of_median"] = min(messages) / statistics.median(messages)
        watched["closed"] = crowd.closed
        watched["ws_left"] = serving.get("/api/v2/stats")["viewers"]["ws"]
        witness.leave()
    finally:
        crowd.leave()
    return alone, watched


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mjpeg", type=int, default=200)
    parser.add_argument("--ws", type=int, default=200)
    parser.add_argument("--deaf", type=int, default=20, help="of the WebSocket clients")
    parser.add_argument("--cameras", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--url", help="instead of the demo clip")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--program", default=ROOT / "build" / "spoton", type=Path)
    arguments = parser.parse_args()
    url = arguments.url or str(ROOT / subprocess.run(
        [ROOT / "tools" / "fetch-demo-clip"], check=True, stdout=subprocess.PIPE,
        text=True).stdout.strip())
    names = {f"c{i + 1}": url for i in range(arguments.cameras)}
    turns = []
    with tempfile.TemporaryDirectory() as folder, \
            Serving(arguments.program.resolve(), Path(folder), names,
                    {"ENGINE": arguments.engine}) as serving:
        serving.until_live(*names)
        for _ in range(arguments.turns):
            turns.append(turn(arguments, serving))
            for name, row in zip(("alone", "watched"), turns[-1]):
                print(f"{name:8} {json.dumps(row)}", flush=True)
            serving.until(lambda: serving.get("/api/v2/stats")["viewers"] == {"mjpeg": 0, "ws": 0})
    ratios = [watched["frames_per_s"] / alone["frames_per_s"] for alone, watched in turns]
    ok = all(alone["balanced"] and watched["balanced"] and watched["closed"] == 0
             for alone, watched in turns)
    print(json.dumps({
        "frames_ratio": round(statistics.median(ratios), 3),
        "frames_ratios": [round(ratio, 3) for ratio in ratios],
        "cpu_alone": round(statistics.median(a["server_cpu"] for a, _ in turns), 3),
        "cpu_watched": round(statistics.median(w["server_cpu"] for _, w in turns), 3),
        "client_cpu": round(statistics.median(w["client_cpu"] for _, w in turns), 3),
        "memory_mb": [round(row["memory_mb"], 1) for pair in turns for row in pair],
        "frames_per_s": round(statistics.median(w["frames_per_s"] for _, w in turns), 2),
        "least_share_of_frames": round(min(w["share_of_frames"]["least"] for _, w in turns), 3),
        "ws_least_of_median": round(min(w["ws_least_of_median"] for _, w in turns), 3),
        "ws_left": [w["ws_left"] for _, w in turns],
        "ok": ok}))
    sys.exit(0 if ok else 1)


if __name__ == "__main__":
    main()
