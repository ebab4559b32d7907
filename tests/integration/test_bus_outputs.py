"""Outputs other than MQTT, each with a real server: Redis, NATS JetStream, Kafka (librdkafka's mock cluster) and
HTTP. And the dialects' consumers in examples/."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from brokers import Delivered, Mosquitto, Nats, Redis, Subscriber, until
from conftest import ROOT, SLOWER
from serving import Serving
from test_bus import CAMERAS, report

CONSUMERS = ROOT / "examples" / "consumers"
sys.path.insert(0, str(CONSUMERS))


def settings(outputs, **more):
    return {"ENGINE": "fake", "SITE": "hq", "OUTPUTS": outputs, "PASSWORD": "s3cret", "NO_PROXY": "*", **more}


def needs(program, name):
    if not (program.parent / "outputs" / f"spoton-output-{name}.so").exists():
        pytest.skip(f"the output {name} was not built: its library is missing")


@pytest.mark.parametrize("kind", [Redis, Nats])
def test_a_server_that_is_frozen_and_killed_loses_nothing(program, tmp_path, kind):
    name = {"Redis": "redis", "Nats": "nats"}[kind.__name__]
    needs(program, name)
    with kind(tmp_path) as broker:
        outputs = f"{name}?url={name}://127.0.0.1:{broker.port}&password_env=PASSWORD" + (
            "&user=cam&stream=spoton" if name == "nats" else "&topic=spoton:all")
        with Serving(program, tmp_path, {"a": CAMERAS["a"]}, settings(outputs)) as server:
            server.until(lambda: report(server)["sent"] > 20)
            broker.freeze()
            server.until(lambda: report(server)["lag_messages"] > 30)
            broker.end(signal.SIGKILL)
            server.until(lambda: not report(server)["connected"])
            assert report(server)["error"]
            broker.start()
            before = report(server)["sent"]
            server.until(lambda: report(server)["connected"] and report(server)["sent"] > before + 60)
            now = report(server)
            assert now["lost"] == now["rejected"] == 0 and now["retried"] > 0
        ids = broker.ids()
        found = Delivered(ids)
        found.check("a")
        assert len(set(ids)) >= now["sent"]
        assert found.repeated == 0 or name == "redis"  # JetStream drops what has an id that it knows


def check(program, tmp_path, outputs):
    done = subprocess.run([program, "outputs", "check"], cwd=tmp_path, capture_output=True, text=True, timeout=120 * SLOWER,
                          env={"OUTPUTS": outputs, "PATH": os.environ["PATH"], "PASSWORD": "wrong", "NO_PROXY": "*"})
    assert "wrong" not in done.stdout + done.stderr
    return done.stdout


def test_a_wrong_password_is_said(program, tmp_path):
    for kind, name, user in ((Redis, "redis", ""), (Nats, "nats", "&user=cam")):
        needs(program, name)
        with kind(tmp_path) as broker:
            said = check(program, tmp_path, f"{name}?url={name}://127.0.0.1:{broker.port}&password_env=PASSWORD{user}")
            assert said.startswith(f"output {name}: 127.0.0.1:") and ("password" in said.lower()), said
    for name in ("redis", "nats", "webhook"):
        scheme = "http" if name == "webhook" else name
        said = check(program, tmp_path, f"{name}?url={scheme}://no.such.host.invalid/")
        assert said.startswith(f"output {name}: ") and "DNS: " in said and said.count("\n") == 1, said


@pytest.fixture(scope="module")
def kafka_mock(tmp_path_factory):
    path = tmp_path_factory.mktemp("kafka") / "kafka_mock"
    done = subprocess.run(["cc", "-o", path, ROOT / "tests" / "tools" / "kafka_mock.c", "-lrdkafka"], capture_output=True,
                          text=True)
    if done.returncode != 0:
        pytest.skip("no librdkafka: " + done.stderr[:200])
    return path


def test_kafka_without_its_broker_for_a_while(program, tmp_path, kafka_mock):
    needs(program, "kafka")
    lines = []
    mock = subprocess.Popen([kafka_mock, "spoton.all"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True)
    try:
        servers = mock.stdout.readline().strip()
        reader = threading.Thread(target=lambda: lines.extend(mock.stdout), daemon=True)
        reader.start()
        with Serving(program, tmp_path, CAMERAS, settings(f"kafka?url=kafka://{servers}&topic=spoton/all")) as server:
            server.until(lambda: report(server)["sent"] > 30)
            mock.stdin.write("down\n")
            mock.stdin.flush()
            server.until(lambda: report(server)["lag_messages"] > 40)
            mock.stdin.write("up\n")
            mock.stdin.flush()
            before = report(server)["sent"]
            server.until(lambda: report(server)["sent"] > before + 100)
            now = report(server)
            assert now["lost"] == now["rejected"] == 0
        until(lambda: len({line.split()[2] for line in list(lines)}) >= now["sent"])
    finally:
        mock.kill()
        mock.wait()
    reader.join(60 * SLOWER)
    rows = [line.split(" ", 3) for line in lines]
    for camera in CAMERAS:
        Delivered([one for _, key, one, _ in rows if key == camera]).check(camera)
    assert all(json.loads(payload)["id"] == one for _, _, one, payload in rows)


class Hook:
    """An HTTP server that answers with `status` and keeps the requests."""

    def __init__(self):
        self.requests, self.status = [], 204
        hook = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = hook.status
                hook.requests.append((status, self.headers, body))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def accepted(self):
        return [(headers, body) for status, headers, body in list(self.requests) if status == 204]


def test_a_webhook_is_signed_repeated_and_has_dead_letters(program, tmp_path):
    import cloudevents
    needs(program, "webhook")
    hook, dead = Hook(), tmp_path / "dead.jsonl"
    env = settings(f"webhook?url={hook.url}&secret_env=PASSWORD&dead_letter={dead}")
    with Serving(program, tmp_path, {"a": CAMERAS["a"]}, env) as server:
        server.until(lambda: len(hook.accepted()) > 15)
        hook.status = 503
        server.until(lambda: report(server)["retried"] > 0 and report(server)["lag_messages"] > 20)
        assert "HTTP status 503" in report(server)["error"]
        hook.status = 400
        server.until(lambda: report(server)["rejected"] > 3)
        hook.status = 204
        count = len(hook.accepted())
        server.until(lambda: len(hook.accepted()) > count + 15)
    assert all(cloudevents.is_signed(headers, body, "s3cret") for headers, body in hook.accepted())
    assert not cloudevents.is_signed(hook.accepted()[0][0], b"other", "s3cret")
    headers, body = hook.accepted()[-1]
    assert headers["ce-specversion"] == "1.0" and headers["ce-source"] == "/hq/a" and headers["ce-time"].endswith("Z")
    assert json.loads(body)["id"] == headers["ce-id"]
    letters = [json.loads(line) for line in dead.read_text().splitlines()]
    assert letters and all(letter["status"] == 400 and letter["payload"]["id"] == letter["id"] for letter in letters)
    # Accepted in order; with the dead letters nothing is missing.
    Delivered([headers["ce-id"] for status, headers, _ in hook.requests if status in (204, 400)]).check("a")
    accepted = {headers["ce-id"] for headers, _ in hook.accepted()}
    assert {letter["id"] for letter in letters} == {h["ce-id"] for s, h, _ in hook.requests if s == 400} - accepted


def test_a_webhook_sends_batches_of_cloudevents(program, tmp_path):
    import cloudevents
    needs(program, "webhook")
    hook = Hook()
    hook.status = 503

    def images():
        return [data for headers, body in hook.accepted() for _, kind, data in cloudevents.events(headers, body)
                if kind == "dev.spoton.snapshot.v1"]
    env = settings(f"webhook?url={hook.url}&format=cloudevents&batch=20&send=tracks,events,people,health,snapshots&snapshot_s=1")
    with Serving(program, tmp_path, {"a": CAMERAS["a"]}, env) as server:
        server.until(lambda: report(server)["lag_messages"] > 40)
        hook.status = 204
        server.until(lambda: report(server)["sent"] > 60 and images())
    batches = [cloudevents.events(headers, body) for headers, body in hook.accepted()]
    assert max(map(len, batches)) == 20
    Delivered([one for batch in batches for one, kind, _ in batch if kind != "dev.spoton.snapshot.v1"]).check("a")
    assert is_jpeg(images()[0])


def is_jpeg(data):
    return data[:3] == b"\xff\xd8\xff" and data[-2:] == b"\xff\xd9"


def next_message(broker, topic, command=None, payload=None):
    """The payload of the next message; until it is there, `payload` is sent to the topic `command`."""
    with subprocess.Popen(["mosquitto_sub", "-p", str(broker.port), "-q", "1", "-C", "1", "-N", "-t", topic],
                          stdout=subprocess.PIPE) as subscriber:
        found = []
        reader = threading.Thread(target=lambda: found.append(subscriber.stdout.read()), daemon=True)
        reader.start()

        def ended():
            if command:
                subprocess.run(["mosquitto_pub", "-p", str(broker.port), "-q", "1", "-t", command, "-m", payload], check=True)
            return subscriber.poll() is not None
        try:
            until(ended, what=f"a message on {topic}")
        finally:
            subscriber.kill()
            reader.join(60 * SLOWER)
        return found[0]


def test_home_assistant_discovers_cameras_and_they_return(program, tmp_path):
    with Mosquitto(tmp_path) as broker:
        url = f"mqtt?url=mqtt://127.0.0.1:{broker.port}"
        outputs = (f"{url}&home_assistant=true&send=health,snapshots&snapshot_s=1 "
                   f"{url}&format=scenescape&send=tracks,snapshots&status=none "
                   f"{url}&format=frigate&send=tracks,snapshots&snapshot_s=1&status=none")
        with Serving(program, tmp_path, CAMERAS, settings(outputs)) as server:
            with Subscriber(broker, "homeassistant/#", ["-t", "spoton/hq/status", "-t", "spoton/+/home_assistant/+"]) \
                    as subscriber:
                def retained():
                    return dict(subscriber.messages())
                config = "homeassistant/device/spoton_hq_camera_a/config"
                state = "spoton/hq/home_assistant/spoton_hq_camera_a"
                until(lambda: config in retained() and '"occupancy":"ON"' in retained().get(state, ""))
                found = json.loads(retained()[config])
                assert found["stat_t"] == state and found["avty_t"] == "spoton/hq/status" and found["dev"]["name"] == "a"
                assert set(found["cmps"]) == {"occupancy", "people", "health", "snapshot"}
                assert is_jpeg(next_message(broker, found["cmps"]["snapshot"]["image_topic"]))
                assert is_jpeg(next_message(broker, "spoton/hq/snapshots/a"))
                assert is_jpeg(next_message(broker, "frigate/a/person/snapshot"))
                answer = json.loads(next_message(broker, "scenescape/image/camera/a", "scenescape/cmd/camera/a", "getimage"))
                assert answer["id"] == "a" and answer["timestamp"].endswith("Z")
                assert is_jpeg(base64.b64decode(answer["image"], validate=True))
                until(lambda: retained().get("spoton/hq/status") == "online")
                before = [topic for topic, _ in subscriber.messages()].count(config)
                subprocess.run(["mosquitto_pub", "-p", str(broker.port), "-q", "1", "-t", "homeassistant/status", "-m",
                                "online"], check=True)
                until(lambda: [topic for topic, _ in subscriber.messages()].count(config) > before)
                server.json("DELETE", "/api/v2/cameras/b", status=204)
                until(lambda: retained().get("homeassistant/device/spoton_hq_camera_b/config") == "")
                server.process.kill()  # the last will
                until(lambda: retained()["spoton/hq/status"] == "offline")
                server.process.wait()


def golden(name):
    """The messages of tests/data/dialects/NAME.txt as lines of topic and payload."""
    lines = (ROOT / "tests" / "data" / "dialects" / f"{name}.txt").read_text().splitlines()
    return "".join(f"{lines[i].removesuffix(' (retained)')}\t{lines[i + 3].strip()}\n" for i in range(0, len(lines), 4)
                   if not lines[i + 2].strip().startswith("snapshots,"))


@pytest.mark.parametrize("name, said", [
    ("spoton", "gate: 7 at 100,50, 8 at 300,60"),
    ("spoton", 'gate: line.crossed {"event": "line.crossed"'),
    ("deepstream", "gate frame 101: Person 7 at 100,50 40x100 (0.88)"),
    ("metropolis", "'sensorId': 'gate'"),
    ("metropolis", "'bbox': [100.0, 50.5, 140.0, 150.0], 'type': 'Person', 'confidence': 0.875"),
    ("scenescape", "gate: person 7 at -0.420,-0.247 0.076x0.190"),
    ("frigate", "update: person 1796030418.000000-7-gate of gate in hall, confidence 0.88"),
    ("frigate", "hall: 1 people"),
    ("onvif", "LineDetector/Crossed door: ObjectId 7"),
    ("onvif", "CountAggregation/Counter door in: Count 1"),
])
def test_consumers_read_what_the_dialects_write(name, said):
    text = "".join(line for line in golden(name).splitlines(True) if name != "metropolis" or line.startswith("mdx-raw"))
    done = subprocess.run([sys.executable, CONSUMERS / f"{name}.py"], input=text + (text if name == "spoton" else ""),
                          capture_output=True, text=True, timeout=60 * SLOWER)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout, done.stdout
    if name == "spoton":  # repeated messages are read once
        assert done.stdout.count("line.crossed {") == 1


def test_every_output_is_built_where_its_library_is(program):
    for name, header in (("mqtt", "mosquitto.h"), ("webhook", "x86_64-linux-gnu/curl/curl.h"), ("nats", "nats/nats.h"),
                         ("redis", "hiredis/hiredis.h"), ("kafka", "librdkafka/rdkafka.h")):
        if os.path.exists(f"/usr/include/{header}"):
            assert (program.parent / "outputs" / f"spoton-output-{name}.so").exists(), name
