"""The real engine with the bundled model on real video: people are found and followed."""

import re
import statistics

import pytest

from checks import Results, assert_summary_balanced, probe_video, read_summary

pytestmark = pytest.mark.openvino


def test_people_are_found_and_followed(spoton, demo_clip, tmp_path):
    out = tmp_path / "out"
    spoton("run", "--camera", f"c1={demo_clip}", "--camera", f"c2={demo_clip}", "--out", out,
           "--video", "--limit", "60", engine=None, timeout=120, expect=0)
    one, two = Results(out, "c1"), Results(out, "c2")
    assert one.bytes() == two.bytes(), "the same video gives the same tracks"
    assert one.sequences == list(range(60))
    # 4 to 8 people walk through the first 60 frames.
    counts = [len(line["tracks"]) for line in one.results_log[2:]]
    assert 3 <= statistics.median(counts) <= 10, counts
    identities = {row[1] for row in one.rows}
    assert len(identities) <= 25, "ids stay with their people"
    longest = max(sum(row[1] == identity for row in one.rows) for identity in identities)
    assert longest >= 50, "someone is followed nearly all the time"
    for _, _, left, top, width, height, _ in one.rows:
        assert left > -40 and top > -40 and left + width < 808 and top + height < 616
        # Who comes in at the edge is narrow at first, and the filter widens the box slowly.
        assert 0.8 < height / width < 9, "people stand"
    assert probe_video(one.mp4_path) == (60, 768, 576, "h264")
    summary = read_summary(out)
    assert_summary_balanced(summary)
    assert summary["engine"]["name"] == "openvino"
    inputs = summary["engine"]["inputs"]
    assert [(one["width"], one["height"]) for one in inputs] == [(640, 480)]
    assert summary["ledger"]["inferred"] == 120


@pytest.mark.parametrize("env", [{"THREADS": 1}, {"ENGINE_STREAMS": 1}, {"ENGINE_BATCH": 2},
                                 {"DECODE_THREADS": 1}],
                         ids=lambda env: ",".join(f"{key}={value}" for key, value in env.items()))
def test_threads_change_nothing(spoton, demo_clip, tmp_path, env):
    results = []
    for name, settings in (("a", {}), ("b", env)):
        spoton("run", "--camera", f"c={demo_clip}", "--out", tmp_path / name, "--limit", "16",
               engine=None, env=settings, timeout=120, expect=0)
        results.append(Results(tmp_path / name, "c").bytes())
    assert len(results[0]) > 1000
    assert results[0] == results[1]


def test_frame_skip_on_real_video(spoton, demo_clip, tmp_path):
    out = tmp_path / "out"
    spoton("run", "--camera", f"c={demo_clip}", "--out", out, "--limit", "45", engine=None,
           env={"FRAME_SKIP": 3}, timeout=120, expect=0)
    results = Results(out, "c")
    assert results.sequences == list(range(45))
    assert sum(line["inferred"] for line in results.results_log) == 15
    predicted = [len(line["tracks"]) for line in results.results_log[6:] if not line["inferred"]]
    assert statistics.median(predicted) >= 3, "frames between carry boxes"
    summary = read_summary(out)
    assert_summary_balanced(summary)
    assert (summary["ledger"]["inferred"], summary["ledger"]["skipped"]) == (15, 30)


def test_shared_clips_run_whole(spoton, shared, tmp_path):
    """Other sizes, rates and codecs, every frame in order."""
    clips = {"shop": ("shop-1080p-hevc.mp4", "hevc"), "lobby": ("lobby-360p-h264.mp4", "h264")}
    out = tmp_path / "out"
    words = [word for name, (file, _) in clips.items()
             for word in ("--camera", f"{name}={shared / 'data' / 'clips' / file}")]
    spoton("run", *words, "--out", out, "--limit", "40", engine=None, timeout=180, expect=0)
    for camera in read_summary(out)["cameras"]:
        assert camera["codec"] == clips[camera["name"]][1]
        assert Results(out, camera["name"]).sequences == list(range(40))
    shop = [len(line["tracks"]) for line in Results(out, "shop").results_log[5:]]
    assert statistics.median(shop) >= 3, "5 to 11 people are in the shop"


def test_the_other_engine_tracks_the_same_people(spoton, demo_clip, tmp_path):
    """ONNX Runtime beside OpenVINO, both in f32: boxes within 1 px, confidences within 0.01."""
    listed = spoton("doctor", engine=None, expect=0).stdout
    if not re.search(r"^engine +onnxruntime +\d", listed, re.M):
        pytest.skip("this build has no onnxruntime engine")
    rows = {}
    for engine in ("openvino", "onnxruntime"):
        out = tmp_path / engine
        spoton("run", "--camera", f"c={demo_clip}", "--out", out, "--limit", "30", engine=engine,
               env={"PRECISION": "f32"}, timeout=180, expect=0)
        assert read_summary(out)["engine"]["name"] == engine
        rows[engine] = Results(out, "c").rows
    one, other = rows["openvino"], rows["onnxruntime"]
    assert len(one) > 60
    assert [row[:2] for row in one] == [row[:2] for row in other], "the same ids in every frame"
    for a, b in zip(one, other):
        assert all(abs(x - y) <= 1 for x, y in zip(a[2:6], b[2:6])), (a, b)
        assert abs(a[6] - b[6]) <= 0.01, (a, b)
