"""A cluster of `spoton serve` over a real NATS server: leases, failures, moves, one view.

A process that gets no CPU time for longer than a lease loses its cameras, as it should. So these tests wait for
what must be reached, however often cameras moved before; what must not happen is judged by epochs, which show
a move that came between.
"""

import contextlib
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from conftest import SLOWER, clean_environment, free_port
from serving import Serving, connect

pytestmark = pytest.mark.skipif(not shutil.which("nats-server"), reason="no nats-server: run ./setup test")
LEASE_MS = 2500
NAMES = [f"cam{i}" for i in range(1, 7)]


class Nats:
    """nats-server with JetStream; restart(lose=True) loses its disk."""

    def __init__(self, folder, args=()):
        self.folder, self.port, self.args = folder / "nats", free_port(), args
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["nats-server", "-js", "-sd", str(self.folder), "-a", "127.0.0.1", "-p", str(self.port), *self.args],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        limit = time.monotonic() + 30 * SLOWER
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert time.monotonic() < limit and self.process.poll() is None
            time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait(30 * SLOWER)

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"


class Node(Serving):
    def __init__(self, program, folder, name, nats, cameras=None, env=None, args=()):
        home = folder / name
        home.mkdir(exist_ok=True)
        self.name = name
        port = free_port()
        super().__init__(program, home, cameras or {}, {
            "CLUSTER_URL": nats, "CLUSTER_SITE": "plant", "CLUSTER_NODE": name, "HTTP_PORT": str(port),
            "CLUSTER_ADVERTISE": f"http://127.0.0.1:{port}", "CLUSTER_LEASE_MS": str(LEASE_MS), **(env or {})}, args)

    def owners(self):
        return {c["name"]: c for c in self.get("/api/v2/cluster")["cameras"]}

    def own_cameras(self):
        return {x["name"] for x in self.get("/api/v2/cameras?local=1")["cameras"]}

    def sequence(self, camera):
        status, _, data = self.request("GET", f"/api/v2/cameras/{camera}/tracks")
        return json.loads(data)["sequence"] if status == 200 else -1

    def until_run_by(self, *nodes, names=NAMES):
        """All cameras are live on these nodes, evenly: planned moves are over."""
        def reached():
            cameras = self.owners()
            shares = count_by_node(cameras)
            return (sorted(cameras) == sorted(names) and set(shares) == set(nodes)
                    and max(shares.values()) - min(shares.values()) <= 1
                    and all(c["state"] == "live" for c in cameras.values()) and cameras)
        return self.until(reached, 60)


@pytest.fixture
def nats(tmp_path):
    server = Nats(tmp_path)
    yield server
    server.stop()


@contextlib.contextmanager
def nodes(program, folder, nats, names="abc", cameras=NAMES):
    with contextlib.ExitStack() as stack:
        urls = {camera: f"sim://walk?fps=5&seed={i}" for i, camera in enumerate(cameras)}
        yield [stack.enter_context(Node(program, folder, name, nats.url, urls if i == 0 else None))
               for i, name in enumerate(names)]


def count_by_node(cameras):
    found = {}
    for camera in cameras.values():
        found[camera["node"]] = found.get(camera["node"], 0) + 1
    return found


def spoton_cluster(program, folder, nats, *words):
    return subprocess.run([str(program), "cluster", *words], text=True, capture_output=True, timeout=60 * SLOWER,
                          env=clean_environment(folder, {"CLUSTER_URL": nats.url, "CLUSTER_SITE": "plant"}))


def nothing_else_moves(attempt):
    """Each attempt returns whether only what had to move has moved. One on a busy machine may be spoiled by a node
    that got no CPU time for a lease; all are only if nodes move cameras without need."""
    assert any(attempt() for _ in range(4))


def test_cameras_are_shared_and_survive_the_death_of_a_node(program, tmp_path, nats):
    with nodes(program, tmp_path, nats, "ab") as (a, b):
        def kill():
            with Node(program, tmp_path, "c", nats.url) as c:
                before = b.until_run_by("a", "b", "c")
                # Exactly the owners have the cameras.
                b.until(lambda: all(node.own_cameras() == {n for n, x in b.owners().items() if x["node"] == node.name}
                                    for node in (a, b, c)))
                c.process.kill()
                c.process.wait()
            after = b.until_run_by("a", "b")
            orphans = [name for name in NAMES if before[name]["node"] == "c"]
            assert all(after[name]["epoch"] > before[name]["epoch"] for name in orphans)
            a.until(lambda: {n["name"]: n["alive"] for n in a.get("/api/v2/cluster")["nodes"]}
                    == {"a": True, "b": True, "c": False})
            return all(after[n]["epoch"] == before[n]["epoch"] for n in NAMES if n not in orphans)
        nothing_else_moves(kill)


def results(ws):
    """Camera, epoch and wall time of each result."""
    while True:
        message = json.loads(ws.recv(60 * SLOWER))
        if message["type"] == "tracks":
            yield message["camera"], message["epoch"], message["wall_us"]


def test_a_node_that_was_frozen_publishes_nothing_of_its_old_epoch(program, tmp_path, nats):
    with nodes(program, tmp_path, nats, "ab") as (a, b):
        b.until_run_by("a", "b")
        with connect(a.ws_url("/api/v2/ws"), ping_interval=None) as ws:
            stream = results(ws)
            next(stream)
            a.process.send_signal(signal.SIGSTOP)
            frozen = time.time_ns() // 1000
            taken = b.until_run_by("b")
            a.process.send_signal(signal.SIGCONT)
            # What a had decoded before may still arrive. Until it has cameras again it publishes nothing of later.
            last = max(x["epoch"] for x in taken.values())
            for camera, epoch, decoded in stream:
                assert decoded <= frozen or epoch >= taken[camera]["epoch"], (camera, epoch, decoded, frozen)
                if epoch > last:
                    break
        again = b.until_run_by("a", "b")
        assert all(again[name]["epoch"] >= taken[name]["epoch"] for name in NAMES)


@pytest.mark.parametrize("lose", [False, True])
def test_without_nats_cameras_go_on_and_nothing_moves_when_it_is_back(program, tmp_path, nats, lose):
    with nodes(program, tmp_path, nats, "ab") as (a, b):
        def interrupt():
            before = b.until_run_by("a", "b")
            nats.stop()
            a.until(lambda: not a.get("/api/v2/cluster")["connected"])
            time.sleep(2 * LEASE_MS / 1000)  # until leases would have expired
            starved = "the process was stopped for"  # such a node publishes nothing until NATS confirms its leases
            running = True
            for node in (a, b):
                own = [name for name, x in before.items() if x["node"] == node.name]
                first = {name: node.sequence(name) for name in own}
                running = node.until(lambda: all(node.sequence(name) > first[name] for name in own)
                                     or starved in node.log()) and running and starved not in node.log()
            if lose:
                shutil.rmtree(nats.folder)
            nats.start()

            def settled():
                cameras = b.owners()
                return (b.get("/api/v2/cluster")["connected"] and a.get("/api/v2/cluster")["connected"]
                        and all(c["node"] and c["epoch"] > before[name]["epoch"] for name, c in cameras.items()))
            b.until(settled)
            time.sleep(2 * LEASE_MS / 1000)  # until a node that does not know the others would have acted
            after = b.until_run_by("a", "b")
            return running and all(after[name]["node"] == before[name]["node"] for name in NAMES)
        nothing_else_moves(interrupt)


def test_draining_moves_cameras_without_a_gap(program, tmp_path, nats):
    with nodes(program, tmp_path, nats, "ab", NAMES[:2]) as (a, b):
        a.until_run_by("a", "b", names=NAMES[:2])
        status = spoton_cluster(program, tmp_path, nats, "status")
        assert status.returncode == 0 and "alive" in status.stdout and "cam2" in status.stdout, status
        drained = spoton_cluster(program, tmp_path, nats, "drain", "a")
        assert drained.returncode == 0, drained
        b.until_run_by("b", names=NAMES[:2])
        a.until(lambda: not a.own_cameras())
        assert "moves to node b" in a.log()  # the next owner was ready before
        b.json("POST", "/api/v2/cluster/nodes/a/undrain", status=204)
        b.until_run_by("a", "b", names=NAMES[:2])
        unknown = spoton_cluster(program, tmp_path, nats, "drain", "absent")
        assert unknown.returncode == 1 and "node absent: not found" in unknown.stderr
        b.json("POST", "/api/v2/cluster/nodes/absent/drain", status=404)


TOKEN = "token-of-the-site"


class Guarded(Node):
    def request(self, method, path, body=None, headers=None):
        return super().request(method, path, body, {"Authorization": f"Bearer {TOKEN}", **(headers or {})})

    def connect(self, path):
        return connect(self.ws_url(path), additional_headers={"Authorization": f"Bearer {TOKEN}"})


def receives_jpegs(node, path, count):
    """Whether the MJPEG stream has this many frames before it ends, as it does when its camera moves."""
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60 * SLOWER)
    connection.request("GET", path, headers={"Authorization": f"Bearer {TOKEN}"})
    reply = connection.getresponse()
    data, found, more = b"", [], reply.status == 200
    while more and len(found) < count:
        more = reply.read1()
        data += more
        found = data.split(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n")[1:-1]
    connection.close()
    assert all(part.startswith(b"\xff\xd8") and part.endswith(b"\xff\xd9\r\n") for part in found)
    return len(found) >= count


@pytest.mark.sanitize
def test_any_node_answers_for_all_cameras(program, tmp_path, nats):
    env = {"API_TOKEN": TOKEN}
    urls = {name: f"sim://walk?fps=5&seed={i}" for i, name in enumerate(NAMES[:2])}
    with Guarded(program, tmp_path, "a", nats.url, urls, env) as a, Guarded(program, tmp_path, "b", nats.url, env=env) as b:
        # A starved node loses its cameras: the path through the other node is shown by what only it replies.
        def other():
            return next((name for name, x in a.owners().items() if x["node"] == "b"), None)

        def of_other(method, rest, body=None):
            """The reply for a camera that was b's before and afterwards."""
            name = a.until(other, 60)
            status, headers, data = a.request(method, f"/api/v2/cameras/{name}{rest}", body)
            return other() == name and status == 200 and (name, headers, data)
        a.until_run_by("a", "b", names=NAMES[:2])
        _, headers, data = a.until(lambda: of_other("GET", "/frame.jpg?width=160"))
        assert headers["Content-Type"] == "image/jpeg" and data.startswith(b"\xff\xd8") and "X-Sequence" in headers
        length = len(a.until(lambda: of_other("GET", ""))[2])
        head = a.until(lambda: of_other("HEAD", ""))
        assert head[2] == b"" and abs(int(head[1]["Content-Length"]) - length) < 200

        # All cameras are in one list, each as its owner describes it.
        def listed():
            cameras = {x["name"]: x for x in a.get("/api/v2/cameras")["cameras"]}
            return (list(cameras) == NAMES[:2] and {x["node"] for x in cameras.values()} == {"a", "b"}
                    and all(x["state"] == "live" and x["ledger"]["inferred"] > 0 for x in cameras.values()))
        a.until(listed)

        def set_paused(action, paused):
            name, _, data = of_other("POST", action) or ("", None, "{}")
            own = {x["name"]: x["state"] for x in b.get("/api/v2/cameras?local=1")["cameras"]}
            return name in own and all((x == "paused") == paused for x in (own[name], json.loads(data)["state"]))
        a.until(lambda: set_paused("/pause", True))
        a.until(lambda: set_paused("/resume", False))

        # Frames of all cameras on one WebSocket, and as MJPEG.
        for path in ("/api/v2/ws", f"/api/v2/ws?cameras={','.join(NAMES[:2])}"):
            with a.connect(path) as ws:
                seen = set()
                for camera, _, _ in results(ws):
                    seen.add(camera)
                    if seen == set(NAMES[:2]):
                        break
        name = a.until(other, 60)
        with a.connect(f"/api/v2/ws?cameras={name}&format=binary&jpeg=1&width=160") as ws:
            message = ws.recv(60 * SLOWER)
            assert message[:4] == b"SPT\x02" and message[34:34 + message[5]] == name.encode()
            assert b"\xff\xd8" in message and message.endswith(b"\xff\xd9")
        a.until(lambda: receives_jpegs(a, f"/api/v2/cameras/{a.until(other, 60)}/stream.mjpg?width=160", 3), 60)

        # Lines of any camera, at any node; counts are those of the site.
        line = {"lines": [{"name": "door", "points": [[0.5, 0], [0.5, 1]], "unit": "fraction"}], "zones": []}

        def counted():
            put = of_other("PUT", "/analytics", line)
            return (put and [x["line"] for x in a.get("/api/v2/counts")["lines"]] == ["door"]
                    and put[0] in [x["camera"] for x in a.get("/api/v2/analytics")["cameras"] if x["lines"]])
        a.until(counted, 60)
        a.until(lambda: a.get("/api/v2/counts")["version"] == a.get("/api/v2/analytics")["version"])

        # A request that another node passes on is answered for own cameras only.
        def not_passed_on():
            name = a.until(other, 60)
            status, _, data = a.request("GET", f"/api/v2/cameras/{name}", headers={"X-Spoton-Node": "c"})
            return status == 503 and name in json.loads(data)["detail"] and "node b" in json.loads(data)["detail"]
        a.until(not_passed_on)
        a.until(lambda: a.own_cameras() == {n for n, x in a.owners().items() if x["node"] == "a"})

        # Cameras are added and removed at any node, for the whole site.
        a.json("POST", "/api/v2/cameras", {"name": "new", "url": "sim://walk?fps=5"}, 202)
        for node in (a, b):
            node.until(lambda: "new" in node.owners())
        a.json("POST", "/api/v2/cameras", {"name": "new", "url": "sim://walk?fps=5"}, 409)
        b.json("DELETE", "/api/v2/cameras/new", status=204)
        a.until(lambda: sorted(a.owners()) == NAMES[:2])
        a.until(lambda: all("new" not in node.own_cameras() for node in (a, b)))
        a.get("/api/v2/cameras/new", 404)

        def metrics():
            text = a.request("GET", "/metrics")[2].decode()
            return "spoton_cluster_connected 1" in text and 'spoton_cluster_nodes{state="alive"} 2' in text
        a.until(metrics)

        # A node that is gone. Without NATS nothing moves.
        owners = a.until_run_by("a", "b", names=NAMES[:2])
        name = next(name for name in NAMES[:2] if owners[name]["node"] == "b")
        nats.stop()
        a.until(lambda: not a.get("/api/v2/cluster")["connected"])
        b.process.kill()
        b.process.wait()
        for path in (f"/api/v2/cameras/{name}", f"/api/v2/cameras/{name}/stream.mjpg"):
            assert f"camera {name}: no" in a.get(path, 503)["detail"]
        camera = next(x for x in a.get("/api/v2/cameras")["cameras"] if x["name"] == name)
        assert camera["state"] in ("unreachable", "waiting") and camera["reason"]
        assert TOKEN not in a.log() + b.log()


def test_changed_settings_reach_the_cluster(program, tmp_path, nats):
    yaml = tmp_path / "spoton.yaml"
    text = "cameras:\n  - {name: one, url: \"sim://walk?fps=5\"}\n"
    yaml.write_text(text)
    with Node(program, tmp_path, "a", nats.url, args=("--config", str(yaml))) as a, \
            Node(program, tmp_path, "b", nats.url) as b:
        b.until(lambda: list(b.owners()) == ["one"])
        yaml.write_text(text + "  - {name: two, url: \"sim://walk?fps=5&seed=2\", frame_skip: 2}\n")
        a.process.send_signal(signal.SIGHUP)
        b.until_run_by("a", "b", names=["one", "two"])
        yaml.write_text(text)
        a.process.send_signal(signal.SIGHUP)
        b.until(lambda: list(b.owners()) == ["one"])


@pytest.mark.parametrize("env, expected", [
    ({"CLUSTER_SITE": "a b"}, "CLUSTER_SITE"), ({"CLUSTER_NODE": "x/y"}, "CLUSTER_NODE"),
    ({"CLUSTER_URL": "http://u:secret-word@host:1"}, "CLUSTER_URL"),
    ({"CLUSTER_URL": "nats://u:secret-word@host:nan"}, "CLUSTER_URL"), ({"CLUSTER_LEASE_MS": "10"}, "CLUSTER_LEASE_MS")])
def test_wrong_settings_are_refused(program, tmp_path, env, expected):
    settings = {"ENGINE": "fake", "HTTP_PORT": "0", "CLUSTER_URL": "nats://127.0.0.1:9", **env}
    run = subprocess.run([str(program), "serve"], env=clean_environment(tmp_path, settings), cwd=tmp_path, text=True,
                         capture_output=True, timeout=60 * SLOWER)
    assert run.returncode in (1, 2) and expected in run.stderr, run
    assert "secret-word" not in run.stderr


def test_a_password_of_nats_is_used_and_not_shown(program, tmp_path):
    """Also by an output of the same process, whose connection is its own."""
    server = Nats(tmp_path, ("--user", "spoton", "--pass", "secret-word"))
    try:
        good = f"nats://spoton:secret-word@127.0.0.1:{server.port}"
        plugin = program.parent / "outputs" / "spoton-output-nats.so"
        output = {"OUTPUTS": f"nats?url={server.url}&stream=spoton&user=spoton&password_env=PASSWORD",
                  "PASSWORD": "secret-word"} if plugin.exists() else {}
        with Node(program, tmp_path, "a", good, {"one": "sim://walk?fps=5"}, output) as a, \
                Node(program, tmp_path, "b", server.url) as b:
            a.until(lambda: [c["state"] for c in a.owners().values()] == ["live"])
            assert b.get("/api/v2/cluster")["connected"] is False
            if output:
                a.until(lambda: a.get("/api/v2/outputs")["outputs"][0]["sent"] > 3)
            assert "secret-word" not in a.log() + json.dumps(a.get("/api/v2/settings"))
    finally:
        server.stop()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Of this host, and of another one."""
    folder = tmp_path_factory.mktemp("certificates")
    for name, host in (("own", "DNS:localhost"), ("other", "DNS:elsewhere.example")):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={host}",
                        "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem"],
                       check=True, capture_output=True)
    return folder


@contextlib.contextmanager
def secure_nats(folder, certificate):
    folder.mkdir()
    server = Nats(folder, ("--user", "spoton", "--pass", "secret-word", "--tls", "--tlscert", f"{certificate}.pem",
                           "--tlskey", f"{certificate}.key"))
    yield server.port
    server.stop()


def test_nats_with_tls_and_a_password(program, tmp_path, certificates):
    own, other = certificates / "own.pem", certificates / "other.pem"
    with secure_nats(tmp_path / "1", certificates / "own") as port, \
            secure_nats(tmp_path / "2", certificates / "other") as impostor, \
            Node(program, tmp_path, "a", f"tls://spoton:secret-word@localhost:{port}", {"one": "sim://walk?fps=5"},
                 {"CLUSTER_CA_FILE": own}) as a:
        a.until(lambda: [c["state"] for c in a.owners().values()] == ["live"])
        assert "secret-word" not in a.log() + json.dumps(a.get("/api/v2/settings"))

        def status(url, ca_file):
            return subprocess.Popen(
                [str(program), "cluster", "status"], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=clean_environment(tmp_path, {"CLUSTER_URL": url, "CLUSTER_CA_FILE": ca_file, "CLUSTER_SITE": "plant"}))
        good = f"tls://spoton:secret-word@localhost:{port}"
        output, errors = status(good, own).communicate(timeout=60 * SLOWER)
        assert "one" in output, errors
        refused = [status(*words) for words in (
            (f"tls://spoton:secret-wrong@localhost:{port}", own),     # another password
            (f"tls://localhost:{port}", own),                         # none
            (good, other),                                            # a certificate that is not trusted
            (f"tls://spoton:secret-word@localhost:{impostor}", other),  # one of another host
            (good, tmp_path / "absent"))]
        for process in refused:
            output, errors = process.communicate(timeout=60 * SLOWER)
            assert process.returncode == 1 and output == "" and "CLUSTER_CA_FILE" in errors, errors
            assert "secret-w" not in errors


def test_the_demo_shows_a_node_that_is_killed(program, tmp_path):
    def demo(**more):
        return subprocess.run([str(program), "cluster", "demo"], text=True, capture_output=True, timeout=600 * SLOWER,
                              env=clean_environment(tmp_path, {"ENGINE": "fake", **more}))
    run = demo()
    assert run.returncode == 0 and run.stderr == "", run
    before, after, again = re.split("killing node c|starting node c again", run.stdout)
    # An expired lease is shown only if the demo reads the cluster's state before a node acquires it.
    owners = dict(re.findall(r"camera (\w+): node (\w),", before))
    orphans = [name for name, node in owners.items() if node == "c"]
    assert orphans and all(re.search(rf"camera {name}: node [ab],", after) for name in orphans), run.stdout
    assert "all 6 cameras are live" in before and "s after the kill" in after
    assert re.search(r"camera \w+: node c,", again) and "node c has its share" in again
    assert list(tmp_path.iterdir()) == []  # nothing is left
    missing = demo(PATH=str(tmp_path))
    assert missing.returncode == 1 and "nats-server: not found; install it" in missing.stderr, missing
