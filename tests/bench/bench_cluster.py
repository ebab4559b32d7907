#!/usr/bin/env python3
"""How long a cluster takes: takeover after kill -9, a node that joins, planned moves, the load on NATS.

Usage: tests/bench/bench_cluster.py [--cameras 48] [--kills 20]     (needs nats-server)
Prints a table for docs/CLUSTER.md. All processes run on this machine; the cameras are synthetic.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Cluster:
    def __init__(self, folder, cameras):
        self.folder, self.count, self.nodes = Path(folder), cameras, {}
        self.port = free_port()
        self.nats = subprocess.Popen(["nats-server", "-js", "-sd", str(self.folder / "js"), "-a", "127.0.0.1", "-p",
                                      str(self.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)

    def start(self, name, cameras=()):
        port = free_port()
        environment = {**os.environ, "CLUSTER_URL": f"nats://127.0.0.1:{self.port}", "CLUSTER_SITE": "bench",
                       "CLUSTER_NODE": name, "CLUSTER_ADVERTISE": f"http://127.0.0.1:{port}", "HTTP_PORT": str(port),
                       "ENGINE": "fake"}
        command = [str(ROOT / "build" / "spoton"), "serve"]
        for camera, url in cameras:
            command += ["--camera", f"{camera}={url}"]
        process = subprocess.Popen(command, env=environment, cwd=self.folder, stdout=subprocess.DEVNULL,
                                   stderr=open(self.folder / f"{name}.log", "a"))
        self.nodes[name] = (process, port)

    def get(self, name, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.nodes[name][1]}{path}", timeout=5) as reply:
            return json.load(reply)

    def cameras(self, name):
        try:
            return {c["name"]: c for c in self.get(name, "/api/v2/cluster")["cameras"]}
        except OSError:
            return {}

    def until(self, name, check, limit=120):
        begin = time.monotonic()
        while time.monotonic() - begin < limit:
            cameras = self.cameras(name)
            if len(cameras) == self.count and check(cameras):
                return time.monotonic() - begin
            time.sleep(0.02)
        raise SystemExit(f"not reached within {limit} s")

    def until_live(self, name, nodes):
        return self.until(name, lambda cameras: all(c["node"] in set(nodes) and c["state"] == "live"
                                                    for c in cameras.values()))

    def until_balanced(self, name, nodes):
        share = self.count // len(nodes)
        return self.until(name, lambda cameras: all(c["state"] == "live" for c in cameras.values()) and all(
            share <= sum(c["node"] == node for c in cameras.values()) <= share + 1 for node in nodes))

    def stop(self):
        for process, _ in self.nodes.values():
            process.kill()
        self.nats.kill()


class Watch(threading.Thread):
    """Collects when the results of a camera were decoded, whichever node has it, until stop()."""

    def __init__(self, cluster, camera):
        super().__init__(daemon=True)
        self.cluster, self.camera, self.times, self.stopped = cluster, camera, set(), False
        self.start()

    def run(self):
        while not self.stopped:
            for node in list(self.cluster.nodes):
                try:
                    self.times.add(self.cluster.get(node, f"/api/v2/cameras/{self.camera}/tracks")["wall_time"])
                except OSError:
                    pass
            time.sleep(0.01)

    def stop(self):
        """The longest time between two results, in seconds."""
        self.stopped = True
        self.join()
        seconds = sorted(int(t[11:13]) * 3600 + int(t[14:16]) * 60 + float(t[17:-1]) for t in self.times)
        return max(after - before for before, after in zip(seconds, seconds[1:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cameras", type=int, default=48)
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    if not shutil.which("nats-server"):
        raise SystemExit("no nats-server: run ./setup test")
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(folder, options.cameras)
        try:
            measure(cluster, options)
        finally:
            cluster.stop()


def measure(cluster, options):
    cameras = [(f"cam{i}", f"sim://walk?fps=5&seed={i}") for i in range(options.cameras)]
    cluster.start("a", cameras)
    cluster.start("b")
    cluster.start("c")
    cluster.until_balanced("a", "abc")
    before, begin = cpu_seconds(cluster.nats.pid), time.monotonic()
    time.sleep(10)
    load = (cpu_seconds(cluster.nats.pid) - before) / (time.monotonic() - begin)
    kills = []
    for i in range(options.kills):
        process, _ = cluster.nodes["c"]
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills.append(cluster.until_live("a", "ab"))
        cluster.start("c")
        cluster.until_balanced("a", "abc")
    cluster.start("d")
    joined = cluster.until_balanced("a", "abcd")
    moving = next(name for name, c in cluster.cameras("a").items() if c["node"] == "b")
    watch = Watch(cluster, moving)
    time.sleep(2)
    request = urllib.request.Request(f"http://127.0.0.1:{cluster.nodes['a'][1]}/api/v2/cluster/nodes/b/drain",
                                     method="POST")
    urllib.request.urlopen(request, timeout=5)
    cluster.until_live("a", "acd")
    time.sleep(2)
    gap = watch.stop()
    kills.sort()
    print("| | measured |\n|---|---|")
    print(f"| kill -9 of a node, {options.cameras} cameras on 3 nodes, until all are live | "
          f"median {statistics.median(kills):.1f} s, p95 {kills[max(0, round(0.95 * len(kills)) - 1)]:.1f} s, "
          f"max {kills[-1]:.1f} s of {len(kills)} |")
    print(f"| a fourth node, until it has its share | {joined:.1f} s, of which it waits one lease |")
    print(f"| planned move (drain), longest time between two results at 5 frames/s | {1000 * gap:.0f} ms |")
    print(f"| NATS, {options.cameras} cameras | {100 * load:.1f} % of a core |")


if __name__ == "__main__":
    main()
