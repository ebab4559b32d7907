"""The kserve engine against real servers."""

import json

import pytest
from triton import Triton

from conftest import free_port

CLIP = "data/clips/lobby-360p-h264.mp4"


@pytest.fixture(scope="module")
def triton(tmp_path_factory):
    with Triton(tmp_path_factory.mktemp("triton"), 640, 384) as server:
        yield server


def detections(folder):
    lines = [json.loads(line) for line in (folder / "c.jsonl").read_text().splitlines()]
    return [line["detections"] for line in lines]


def test_triton_gives_the_boxes_of_a_local_engine(triton, spoton, shared, tmp_path):
    if not (shared / CLIP).exists():
        pytest.skip(f"no {shared / CLIP}")
    words = ["run", "--camera", f"c={shared / CLIP}", "--limit", "12", "--out"]
    local = spoton(*words, tmp_path / "local", engine="onnxruntime")
    if local.returncode and "no spoton-engine-onnxruntime.so" in local.stderr:
        pytest.skip("the build is without onnxruntime")
    assert local.returncode == 0, str(local)
    remote = spoton(*words, tmp_path / "remote", engine="kserve",
                        env={"KSERVE_URL": triton.url, "KSERVE_TIMEOUT_MS": "60000"})
    assert remote.returncode == 0, str(remote)
    ours, theirs = detections(tmp_path / "local"), detections(tmp_path / "remote")
    assert len(ours) == len(theirs) == 12 and sum(map(len, ours)) > 50
    for a, b in zip(ours, theirs):
        assert len(a) == len(b)
        for box, other in zip(a, b):
            assert max(abs(x - y) for x, y in zip(box[:4], other[:4])) < 1
            assert abs(box[4] - other[4]) < 0.01


@pytest.mark.parametrize("change, words", [
    ({"KSERVE_URL": "{base}/v2/models/other"}, ["other", "no such model", "KSERVE_URL"]),
    ({"MODEL_HEAD": "yolov5"}, ["yolov5", "docs/MODELS.md"]),
    ({"KSERVE_URL": "http://127.0.0.1:{closed}/v2/models/person"}, ["127.0.0.1:{closed}", "start the server"]),
    ({"PRECISION": "bf16"}, ["PRECISION=auto"]),
])
def test_errors_name_the_server_and_what_to_do(triton, spoton, make_clip, tmp_path, change, words):
    values = {"base": triton.url.removesuffix("/v2/models/person"), "closed": free_port()}
    env = {"KSERVE_URL": triton.url, "KSERVE_TOKEN": "geheim"}
    env.update({key: value.format(**values) for key, value in change.items()})
    done = spoton("run", "--camera", f"c={make_clip(frames=2, size=(640, 360))}", "--out",
                      tmp_path / "out", engine="kserve", env=env)
    assert done.returncode != 0, str(done)
    for word in words:
        assert word.format(**values) in done.stderr, str(done)
    assert "geheim" not in done.stderr + done.stdout
