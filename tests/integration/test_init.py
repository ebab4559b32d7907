"""`spoton init` against simulated ONVIF cameras."""

import stat

import pytest

from onvif_camera import Camera

LOGINS = "# of the house\nviewer:wrong\nadmin:p&ss:w/rd\n"
URL = "rtsp://admin:p%26ss%3Aw%2Frd@127.0.0.1:554/live/sub0?a=1&b=2"


@pytest.fixture
def logins(tmp_path):
    path = tmp_path / "logins"
    path.write_text(LOGINS)
    return path


@pytest.fixture
def target(tmp_path):
    return tmp_path / "spoton.yaml"


def cameras(target):
    """{name: URL}"""
    lines = target.read_text().splitlines()
    names = [line.split("name: ")[1].strip('"') for line in lines if "name: " in line]
    urls = [line.split("url: ")[1].strip('"') for line in lines if "url: " in line]
    return dict(zip(names, urls, strict=True))


@pytest.mark.sanitize
@pytest.mark.threads
def test_cameras_are_written_with_the_stream_that_suits_the_model(spoton, logins, target):
    with Camera() as camera:
        done = spoton("init", camera.url, "--logins", logins, "-o", target, expect=0)
        assert camera.refused == ["viewer"]  # each login once, and no further one after success
        assert all(login not in body for _, body in camera.requests for login in ("wrong", "p&ss", "p&amp;ss"))
    assert cameras(target) == {"127.0.0.1": URL}
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert "H264 704x576, 12 frames/s" in done.stdout and f"spoton serve --config {target}" in done.stdout
    assert "p%26ss" not in done.stdout + done.stderr and "p&ss" not in done.stdout + done.stderr
    # The program accepts the file; nothing listens at that address.
    checked = spoton("run", "--config", target, "--out", target.parent / "out", "--limit", 1)
    assert "127.0.0.1" in checked.stderr and "spoton.yaml" not in checked.stderr, str(checked)


@pytest.mark.parametrize("size, profile", [(320, "tiny0"), (640, "sub0"), (704, "sub0"), (736, "main0"), (4096, "main0")])
def test_the_smallest_stream_not_below_the_input_size_is_chosen(spoton, logins, target, size, profile):
    with Camera() as camera:
        spoton("init", camera.url, "--logins", logins, "-o", target, "--yolo-input-size", size, expect=0)
    assert f"/live/{profile}?" in target.read_text()


def test_login_over_http_digest_and_a_clock_that_is_wrong(spoton, logins, target):
    with Camera(mode="http-digest") as digest, Camera(clock_ahead_s=-5 * 86400) as late:
        spoton("init", digest.url, late.url, "--logins", logins, "-o", target, expect=0)
        assert set(digest.refused) == {"viewer"} and late.refused == ["viewer"]
    assert cameras(target) == {"127.0.0.1": URL, "127.0.0.1-2": URL}


def test_streams_of_another_host_get_no_login(spoton, logins, target):
    """What the device reports is used with the host that answered only."""
    with Camera(rtsp="rtsp://user:secret@192.0.2.77:8554/live", sources=2) as camera:
        spoton("init", camera.url, "--logins", logins, "-o", target, expect=0)
    found = cameras(target)
    assert list(found.values()) == [URL.replace(":554/", ":8554/"), URL.replace(":554/", ":8554/").replace("sub0", "sub1")]


def test_a_camera_without_login(spoton, target):
    with Camera(login=None) as camera:
        spoton("init", f"127.0.0.1:{camera.port}", "-o", target, expect=0)
    assert cameras(target) == {"127.0.0.1": "rtsp://127.0.0.1:554/live/sub0?a=1&b=2"}


@pytest.mark.sanitize
@pytest.mark.threads
def test_broken_cameras_do_not_stop_the_others(spoton, logins, target):
    with Camera(mode="malformed") as bad, Camera(mode="huge") as huge, Camera(mode="entities") as entities, \
            Camera(login=("root", "x")) as locked, Camera(mode="silent") as silent, Camera() as good:
        done = spoton("init", bad.url, huge.url, entities.url, locked.url, silent.url, good.url, "http://127.0.0.1:1/x",
                      "--logins", logins, "-o", target, expect=0)
        assert len(silent.requests) == 1 and locked.refused == ["viewer", "admin"]
    errors = done.stderr.splitlines()
    for text in ("not XML", "longer than", "has a document type", "login refused", "no answer in time", "connect"):
        assert sum(text in line for line in errors) == 1, (text, errors)
    assert len(errors) == 6 and all(line.startswith("spoton init: 127.0.0.1: ") for line in errors), errors
    assert list(cameras(target)) == ["127.0.0.1"]


def test_existing_files_are_kept(spoton, logins, target):
    target.write_text("# mine\n")
    target.chmod(0o640)
    with Camera() as camera:
        done = spoton("init", camera.url, "--logins", logins, "-o", target, expect=2)
        assert f"{target}: exists" in done.stderr and not camera.requests and target.read_text() == "# mine\n"
        spoton("init", camera.url, "--logins", logins, "-o", target, "--force", expect=0)
    assert (target.parent / "spoton.yaml.old").read_text() == "# mine\n" and cameras(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640  # a service's group may have to read it
    assert not list(target.parent.glob("*.part"))


def test_nothing_is_written_without_a_camera(spoton, logins, target):
    with Camera(login=("root", "x")) as camera:
        done = spoton("init", camera.url, "--logins", logins, "-o", target, expect=1)
    assert "no camera can be used; nothing was written" in done.stderr and not target.exists()


@pytest.mark.parametrize("lines, problem", [
    ("admin\n", "line 1 of"),
    (":x\n", "line 1 of"),
    ("\n# a\nuser:" + "hunter2" * 30 + "\n", "line 3 of"),
    ("a:b\n" * 9, "more than 8 logins"),
])
def test_a_bad_file_of_logins(spoton, tmp_path, target, lines, problem):
    (tmp_path / "logins").write_text(lines)
    done = spoton("init", "127.0.0.1:1", "--logins", tmp_path / "logins", "-o", target, expect=2)
    assert problem in done.stderr and "hunter2" not in done.stderr, done.stderr


@pytest.mark.parametrize("address", ["a b", "rtsp://10.0.0.1/", "http://user:secret@10.0.0.1/", "10.0.0.1/x", "a<b"])
def test_a_bad_address(spoton, target, address):
    done = spoton("init", address, "-o", target, expect=2)
    assert "address 1: invalid" in done.stderr and "secret" not in done.stderr


@pytest.mark.sanitize
def test_cameras_are_discovered(spoton, logins, target):
    try:
        camera = Camera(discoverable=True)
    except OSError as error:
        pytest.skip(f"multicast cannot be received here: {error}")
    with camera:
        done = spoton("init", "--logins", logins, "-o", target, "--seconds", 1.2)
        if not camera.discovery.probes:
            pytest.skip("multicast does not arrive on the loopback interface here")
        assert done.returncode == 0, str(done)
    found = cameras(target)
    assert found.get("Front-door") == URL, found
