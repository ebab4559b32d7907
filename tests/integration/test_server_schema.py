"""Schemathesis on the running server: valid requests are accepted, invalid ones are refused, and every
reply matches openapi.json."""

import subprocess
import sys
from pathlib import Path

import pytest

from serving import Serving

CONFIG = """
seed = 1
continue-on-failure = true
request-timeout = 20
[generation]
# The library closes a connection whose query holds a zero byte, without a word.
allow-x00 = false
max-examples = {examples}
[phases.coverage]
# TRACE never gets as far as our code.
unexpected-methods = ["PUT", "PATCH", "DELETE", "POST", "GET"]
[[operations]]
# It never ends: test_server.py reads it.
include-operation-id = "getStream"
enabled = false
[[operations]]
# The model may lack a class, the machine a decoder, and thresholds depend on each other.
include-operation-id = "addCamera"
checks.positive_data_acceptance.enabled = false
[[operations]]
# Points may fit no ground plane, which no schema can say.
include-operation-id = "calibrateCamera"
checks.positive_data_acceptance.enabled = false
[[operations]]
# A polygon may cross itself, or lines be too short, which no schema can say.
include-operation-id = "putCameraAnalytics"
checks.positive_data_acceptance.enabled = false
[[operations]]
include-operation-id = "putMapAnalytics"
checks.positive_data_acceptance.enabled = false
# Times and lines may fit no schema: from after to, a line of no length, too many buckets.
{history}
[checks]
# A new camera is there, but its frame and its tracks are 404 until it has given one.
ensure_resource_availability.enabled = false
"""

# Cameras of any address would be looked for in the network.
HOOKS = """
import schemathesis

@schemathesis.hook
def before_call(context, case, kwargs):
    body = case.body
    if case.operation.label == "POST /api/v2/cameras" and isinstance(body, dict):
        url = body.get("url")
        if isinstance(url, str) and 0 < len(url) < 2048 and not any(c < " " or c == "\\x7f" for c in url):
            body["url"] = "sim://still?fps=5"
        # Each size has a detector of its own, and large ones take long.
        size = body.get("input_size")
        if type(size) is int and 32 <= size <= 4096 and size % 32 == 0:
            body["input_size"] = 64
    if case.operation.label == "GET /api/v2/events" and case.query:
        # Its reply would take as long: test_outputs.py waits.
        if str(case.query.get("wait")).isdigit() and int(case.query["wait"]) <= 60:
            case.query["wait"] = 0
"""


HISTORY = "".join(f"""
[[operations]]
include-operation-id = "{name}"
checks.positive_data_acceptance.enabled = false
""" for name in ("getHistoryCounts", "listHistoryEvents", "listVisits", "listHistoryPeople", "getPersonTracks",
                 "getHeatmap", "getEventSnapshot", "getHeatmapImage", "evaluateHistory"))


def run(server, folder, examples, headers=()):
    (folder / "schemathesis.toml").write_text(CONFIG.format(examples=examples, history=HISTORY))
    (folder / "hooks.py").write_text(HOOKS)
    command = [Path(sys.executable).with_name("schemathesis"), "run",
               f"http://127.0.0.1:{server.port}/api/v2/openapi.json",
               "--phases", "examples,coverage,fuzzing,stateful", "--no-color", "--workers", "1"]
    for header in headers:
        command += ["-H", header]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder),
                               "HOME": str(folder), "SCHEMATHESIS_HOOKS": "hooks"})


@pytest.mark.parametrize("token", ["", "secret"])
def test_the_server_does_as_its_description_says(program, tmp_path, token):
    cameras = {"c1": "sim://walk?fps=10", "c2": "sim://still?fps=5"}
    settings = {"STORE": "history", **({"API_TOKEN": token} if token else {})}
    with Serving(program, tmp_path, cameras, settings) as server:
        headers = [f"Authorization: Bearer {token}"] if token else []
        server.until(lambda: server.request("GET", "/readyz")[0] == 200)
        done = run(server, tmp_path, 15, headers)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert server.request("GET", "/healthz")[0] == 200
