"""The examples run. The engine plugin: test_install.py."""

import json
import re
import subprocess
import sys

import pytest

from conftest import ROOT, SLOWER
from serving import Serving

EXAMPLES = ROOT / "examples"


@pytest.fixture
def server(program, make_clip, tmp_path):
    with Serving(program, tmp_path, {"door": make_clip()}) as running:
        running.until_live("door")
        yield running


def test_watch_prints_people(server):
    client = subprocess.Popen([sys.executable, EXAMPLES / "watch.py", f"http://127.0.0.1:{server.port}", "door"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        lines = []
        while len(lines) < 5:  # of frames with both people; tracks are lost where a busy machine drops frames
            line = client.stdout.readline()
            assert re.fullmatch(r"door frame \d+: (.*)\n", line), (line, client.poll())
            if line.count(" at ") == 2:
                lines.append(line)
        # the two rectangles of the clip: 40 px wide, 72 px high
        found = re.findall(r"\d+ at \d+,\d+ (\d+)x(\d+) \((0\.\d\d|1\.00)\)", "".join(lines))
        assert len(found) == 10, lines
        assert all(abs(int(w) - 40) <= 6 and abs(int(h) - 72) <= 6 for w, h, _ in found), lines
    finally:
        client.kill()
        client.communicate(timeout=10 * SLOWER)


def test_watch_says_that_a_token_is_needed(program, make_clip, tmp_path):
    with Serving(program, tmp_path, {"door": make_clip()}, {"API_TOKEN": "secret"}) as server:
        done = subprocess.run([sys.executable, EXAMPLES / "watch.py", f"http://127.0.0.1:{server.port}"],
                              capture_output=True, text=True, timeout=120 * SLOWER)
    assert done.returncode == 1 and "API_TOKEN" in done.stderr and "Traceback" not in done.stderr, done.stderr


def expressions():
    board = json.loads((EXAMPLES / "grafana.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]] + [
        variable["query"]["query"] for variable in board["templating"]["list"] if variable["type"] == "query"]


def test_board_asks_for_metrics_that_exist(server):
    def metrics():
        return server.request("GET", "/metrics")[2].decode()

    server.until(lambda: "spoton_stage_seconds_bucket" in metrics())  # from the first tick on
    text = metrics()
    samples = re.findall(r"^(spoton_\w+)(?:\{(.*)\})? ", text, re.M)
    labels = {}
    for name, words in samples:
        labels.setdefault(name, {}).setdefault("instance", set())  # Prometheus adds it
        for label, value in re.findall(r'(\w+)="([^"]*)"', words):
            labels[name].setdefault(label, set()).add(value)
    found = 0
    for expression in expressions():
        for name, words in re.findall(r"(spoton_\w+)(?:\{([^}]*)\})?", expression):
            assert name in labels, f"{name} of: {expression}"
            found += 1
            for label, operator, value in re.findall(r'(\w+)(=~?)"([^"]*)"', words):
                assert label in labels[name], f"{name} has no label {label}: {expression}"
                values = value.split("|") if operator == "=~" else [value]
                assert value.startswith("$") or set(values) <= labels[name][label], f"{name}: {label}={value}"
        for label in re.findall(r"by \(([\w, ]+)\)", expression):
            known = set().union(*(labels[name] for name in re.findall(r"spoton_\w+", expression)))
            assert set(label.split(", ")) <= known, expression
    assert found >= 15


def test_board_is_laid_out():
    panels = json.loads((EXAMPLES / "grafana.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = set()
    for place in (panel["gridPos"] for panel in panels):
        own = {(x, y) for x in range(place["x"], place["x"] + place["w"])
               for y in range(place["y"], place["y"] + place["h"])}
        assert not own & cells and max(x for x, _ in own) < 24
        cells |= own


def test_environment_file_serves_its_cameras(program, make_clip, tmp_path):
    text, urls = re.subn(r"^(CAMERA_\w+)=.*192\.0\.2\..*$", rf"\1={make_clip()}",
                         (EXAMPLES / "cameras.env").read_text(), flags=re.M)
    assert urls == 3
    path = tmp_path / "cameras.env"
    path.write_text(text)
    with Serving(program, tmp_path, {}, args=["--env", path]) as server:
        server.until_live("gate", "lobby", "yard")
        assert server.get("/api/v2/settings")["settings"]["FRAME_JPEG_QUALITY"] == "80"


def test_environment_file_names_settings_that_exist():
    known = set(re.findall(r"^\| `([A-Z0-9_]+)` \|", (ROOT / "docs" / "CONFIG.md").read_text(), re.M))
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (EXAMPLES / "cameras.env").read_text(), re.M))
    assert len(named) > 8 and named <= known, named - known
