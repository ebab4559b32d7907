"""The outbox and MQTT, with a real broker: whatever happens to the broker or to the program, nothing is lost,
nothing comes out of order, and what is repeated has the same id."""

import json
import signal
import socket
import subprocess

import pytest

from brokers import Delivered, Mosquitto, Subscriber, until
from conftest import ROOT
from serving import Serving

CAMERAS = {"a": "sim://walk?fps=20&width=160&height=96", "b": "sim://walk?fps=20&seed=1&width=160&height=96"}


def settings(broker, more=""):
    return {"ENGINE": "fake", "SITE": "hq", "OUTPUTS": f"mqtt?url=mqtt://127.0.0.1:{broker.port}{more}",
            "OUTBOX_SYNC_MS": "50"}


def report(server):
    found, = server.get("/api/v2/outputs")["outputs"]
    return found


def ids(subscriber):
    return [message["id"] for message in subscriber.objects()]


@pytest.fixture
def broker(tmp_path):
    with Mosquitto(tmp_path) as running:
        yield running


@pytest.mark.threads
@pytest.mark.sanitize
def test_messages_arrive_complete_and_in_order(program, tmp_path, broker):
    with Subscriber(broker) as subscriber:
        with Serving(program, tmp_path, CAMERAS, settings(broker)) as server:
            server.until_live("a", "b")
            server.until(lambda: len(subscriber.objects()) > 60)
            now = report(server)
            assert now["connected"] and now["sent"] > 50 and now["lost"] == now["rejected"] == now["retried"] == 0
            assert now["error"] is None
            outbox = server.get("/api/v2/outputs")["outbox"]
            assert outbox["state"] == "working" and outbox["bytes"] > 0 and outbox["dropped"] == 0
            metrics = server.request("GET", "/metrics")[2].decode()
            assert 'spoton_output_connected{output="mqtt"} 1' in metrics
            assert 'spoton_output_lag_messages{output="mqtt"}' in metrics and "spoton_outbox_working 1" in metrics
        until(lambda: subscriber.messages()[-1] == ("spoton/hq/status", "offline"))
        found = Delivered(ids(subscriber))
        found.check("a", "b")
        assert found.repeated == 0
        topics = {topic for topic, _ in subscriber.messages()}
        assert {"spoton/hq/tracks/a", "spoton/hq/tracks/b", "spoton/hq/health/a", "spoton/hq/status"} <= topics
        tracks = [message for message in subscriber.objects() if message["type"] == "tracks"]
        assert all(message["schema"] == 1 and message["site"] == "hq" and message["node"] for message in tracks)
        assert any(message["tracks"] for message in tracks)


def test_a_broker_that_is_frozen_killed_and_restarted_loses_nothing(program, tmp_path):
    with Mosquitto(tmp_path, ["allow_anonymous true", "persistence true", "autosave_interval 1"]) as broker, \
            Subscriber(broker) as subscriber, Serving(program, tmp_path, CAMERAS, settings(broker)) as server:
        server.until_live("a", "b")
        server.until(lambda: len(ids(subscriber)) > 20)
        for how in ("frozen", "killed", "restarted"):
            before = report(server)["sent"]
            broker.freeze()
            server.until(lambda: report(server)["lag_messages"] > 30)
            if how == "frozen":
                broker.thaw()
            else:
                # What it accepted before it was frozen is with the subscriber.
                broker.end(signal.SIGKILL if how == "killed" else signal.SIGTERM)
                server.until(lambda: not report(server)["connected"])
                assert report(server)["error"]
                broker.start()
            server.until(lambda: report(server)["connected"] and report(server)["sent"] > before + 60)
        assert report(server)["retried"] > 0
        server.stop()
        until(lambda: ("spoton/hq/status", "offline") in subscriber.messages()[-3:])
        Delivered(ids(subscriber)).check("a", "b")


def test_the_program_killed_loses_and_repeats_nothing(program, tmp_path, broker):
    """Killed while the broker is away; the next start delivers what the first one left, under its epoch."""
    with Subscriber(broker) as subscriber:
        server = Serving(program, tmp_path, CAMERAS, settings(broker))
        server.until_live("a", "b")
        server.until(lambda: len(ids(subscriber)) > 20)
        broker.freeze()
        server.until(lambda: report(server)["lag_messages"] > 40)
        server.process.kill()
        server.process.wait()
        broker.thaw()
        first = {one.split("/")[1] for one in ids(subscriber)}
        with Serving(program, tmp_path, CAMERAS, settings(broker)) as server:
            server.until_live("a", "b")
            server.until(lambda: len({one.split("/")[1] for one in ids(subscriber)} - first) == 2)
            server.until(lambda: report(server)["sent"] > 60)
            assert report(server)["lost"] == 0
        found = Delivered(ids(subscriber))
        found.check("a", "b")
        counts = [one.split("/")[1] for one in dict.fromkeys(ids(subscriber))]
        assert all(counts.count(epoch) >= 20 for epoch in first)


def test_the_end_waits_for_no_broker_webhook_or_disk(program, tmp_path, broker):
    """None of them responds when the signal comes. What was written before is delivered by the next start."""
    library, hang = tmp_path / "hanging_disk.so", tmp_path / "hang"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, ROOT / "tests/tools/hanging_disk.c"], check=True)
    with socket.create_server(("127.0.0.1", 0)) as silent, Subscriber(broker) as subscriber:
        outputs = f"{settings(broker)['OUTPUTS']} webhook?url=http://127.0.0.1:{silent.getsockname()[1]}/"
        env = {**settings(broker), "OUTPUTS": outputs, "STOP_TIMEOUT_S": "3", "NO_PROXY": "*"}
        server = Serving(program, tmp_path, CAMERAS, {**env, "LD_PRELOAD": str(library), "HANG_WHILE": str(hang)})
        server.until_live("a", "b")
        server.until(lambda: len(ids(subscriber)) > 20)
        broker.freeze()
        server.until(lambda: min(output["lag_messages"] for output in server.get("/api/v2/outputs")["outputs"]) > 40)
        hang.touch()
        server.stop()
        assert "exiting without" in server.log()
        hang.unlink()
        broker.thaw()
        first = {one.split("/")[1] for one in ids(subscriber)}
        with Serving(program, tmp_path, CAMERAS, env) as server:
            server.until(lambda: len({one.split("/")[1] for one in ids(subscriber)} - first) == 2)
            assert [output["lost"] for output in server.get("/api/v2/outputs")["outputs"]] == [0, 0]
        Delivered(ids(subscriber)).check("a", "b")


def test_login_tls_topics_and_what_is_sent(program, tmp_path):
    """TLS with a certificate of its own, a user with a password from a file, and MQTT 3.1.1."""
    folder = tmp_path / "tls"
    folder.mkdir()
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", folder / "key.pem",
                    "-out", folder / "cert.pem"], check=True, capture_output=True)
    subprocess.run(["mosquitto_passwd", "-b", "-c", folder / "passwords", "cam", "s3cret"], check=True)
    (folder / "password").write_text("s3cret\n")
    (folder / "acl").write_text("user cam\ntopic write plant/#\ntopic read plant/#\n")
    for path in folder.iterdir():
        path.chmod(0o644)
    with Mosquitto(tmp_path, ["allow_anonymous false", f"password_file {folder}/passwords", f"acl_file {folder}/acl",
                              f"cafile {folder}/cert.pem", f"certfile {folder}/cert.pem",
                              f"keyfile {folder}/key.pem"]) as broker:
        tls = f"&ca_file={folder}/cert.pem"
        login = f"&user=cam&password_file={folder}/password&status=plant/status"
        url = f"mqtt?url=mqtts://localhost:{broker.port}"

        def check(outputs):
            return subprocess.run([program, "outputs", "check"], env={"OUTPUTS": outputs, "PATH": "/usr/bin"},
                                  cwd=tmp_path, capture_output=True, text=True, timeout=120)
        for outputs, said in [
                (f"{url}{tls}{login}&topic=plant/%7bcamera%7d/%7bkind%7d", None),
                (f"{url}{tls}{login}&topic=other/{{camera}}", "topic denied"),
                (f"{url}{tls}&user=cam&password_file={folder}/password", "may write spoton/"),
                (f"{url}{tls}&user=cam&password_env=PATH&topic=plant/x", "user or password refused"),
                (f"{url}{login}", "TLS: "),
                (f"mqtt?url=mqtt://no.such.host.invalid{login}", "DNS: "),
                (f"mqtt?url=mqtt://127.0.0.1:1{login}", "Connection refused"),
                (f"mqtt?url=mqtt://cam:s3cret@localhost{login}", "contains a user or password"),
                (f"{url}&password=s3cret", "a secret may not be in the settings"),
                (f"{url}&colour=blue", "option colour: unknown"),
                (f"{url}&format=xml", "format xml: unknown; there are spoton,"),
                (f"{url}&send=all", "send=all: unknown"),
                (f"{url}&send=snapshots&format=deepstream", "format deepstream has no images"),
                (f"{url}&send=snapshots&snapshot_s=0", "snapshot_s=0: not a whole number"),
                (f"{url}&topic={{place}}", "only {site}, {camera} and {kind}")]:
            done = check(outputs)
            assert done.returncode == (1 if said else 0), (outputs, done.stdout, done.stderr)
            assert "s3cret" not in done.stdout + done.stderr
            if said:
                assert done.stdout.startswith("output mqtt: ") and said in done.stdout, (outputs, done.stdout)
                assert done.stdout.count("\n") == 1
        sub = ["--cafile", str(folder / "cert.pem"), "-h", "localhost", "-u", "cam", "-P", "s3cret"]
        outputs = f"{url}{tls}{login}&topic=plant/{{site}}/{{camera}}/{{kind}}&send=tracks&rate=2&version=3.1.1"
        with Subscriber(broker, "plant/#", sub) as subscriber:
            with Serving(program, tmp_path, {"a": CAMERAS["a"]}, {**settings(broker), "OUTPUTS": outputs}) as server:
                server.until(lambda: len(subscriber.objects()) >= 6)
                assert "s3cret" not in server.log() + json.dumps(server.get("/api/v2/outputs"))
        found = subscriber.objects()
        assert {topic for topic, _ in subscriber.messages()} == {"plant/hq/a/tracks", "plant/status"}
        times = [message["pts_us"] for message in found]
        assert all(later - earlier >= 450000 for earlier, later in zip(times, times[1:]))


def test_an_outbox_in_use_and_a_full_disk_are_said(spoton, program, tmp_path, broker):
    with Serving(program, tmp_path, {"a": CAMERAS["a"]}, settings(broker)) as server:
        server.until_live("a")
        env = {**settings(broker), "OUTBOX_DIR": str(server.folder / "outbox")}
        done = spoton("serve", "--http-port", "0", env=env, expect=1)
        assert "another spoton uses the folder; set OUTBOX_DIR" in done.error_lines[0]


def test_outputs_as_a_list_in_yaml(program, tmp_path, broker):
    path = tmp_path / "spoton.yaml"
    path.write_text(f"""
server: {{site: "a b"}}
outputs:
  - type: mqtt
    name: broker
    url: mqtt://127.0.0.1:{broker.port}
    topic: "{{site}}/{{camera}}/{{kind}}"
    send: [tracks, health]
    format: cloudevents
""")
    with Subscriber(broker) as subscriber, \
            Serving(program, tmp_path, {"a": CAMERAS["a"]}, args=["--config", str(path)]) as server:
        server.until(lambda: len(subscriber.objects()) > 10)
        assert report(server)["name"] == "broker"
    one = next(message for message in subscriber.objects() if message["type"] == "dev.spoton.tracks.v1")
    assert one["specversion"] == "1.0" and one["source"] == "/a b/a" and one["data"]["type"] == "tracks"
    assert one["id"] == one["data"]["id"]
    assert {topic for topic, _ in subscriber.messages()} >= {"a b/a/tracks", "a b/a/health"}
