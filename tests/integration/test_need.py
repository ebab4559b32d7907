"""INFERENCE=need: which frames are inferred, equal results whatever runs beside, outputs, audits."""

import subprocess

import numpy
import pytest

from checks import Results, assert_summary_balanced, read_mot, read_summary
from serving import Serving

SIZE, RATE, FRAMES = (320, 240), 10, 160
ENTERS, LEAVES = 50, 110  # a walker, from the left edge to the right one


def walker(number):
    """x1, y1, x2, y2 or None."""
    left = (number - ENTERS) * 6 - 40
    box = (max(left, 0), 80, min(left + 40, SIZE[0]), 200)
    return box if ENTERS <= number < LEAVES and box[2] - box[0] >= 24 else None


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Empty, then someone walks through, then empty again."""
    path = tmp_path_factory.mktemp("need") / "clip.avi"
    raw = bytearray()
    for number in range(FRAMES):
        luma = numpy.full((SIZE[1], SIZE[0]), 32, numpy.uint8)
        if walker(number):
            x1, y1, x2, y2 = walker(number)
            luma[y1:y2, x1:x2] = 235
        raw += luma.tobytes() + bytes([128]) * (SIZE[0] * SIZE[1] // 2)
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "320x240",
                    "-r", str(RATE), "-i", "-", "-c:v", "mpeg4", "-q:v", "2", str(path)], input=bytes(raw), check=True)
    return path


@pytest.mark.sanitize
def test_frames_are_inferred_by_need(spoton, clip, tmp_path):
    out = tmp_path / "out"
    spoton("run", "--camera", f"c={clip}", "--out", out, env={"INFERENCE": "need"}, expect=0)
    results, summary = Results(out, "c"), read_summary(out)
    log = results.results_log
    assert results.sequences == list(range(FRAMES))
    # Empty: the first frame and audits every 2 s.
    empty = [line for line in log[:ENTERS]]
    assert [line["sequence"] for line in empty if line["inferred"]] == [0, 20, 40]
    assert [line["reason"] for line in empty if line["inferred"]] == ["start", "audit", "audit"]
    # The walker is tracked 0.3 s after the first frame in which it is seen, and until it leaves.
    seen = [n for n in range(FRAMES) if walker(n)]
    for line in log[seen[0] + 3:seen[-1] + 1]:
        assert len(line["tracks"]) == 1, line
        found = line["tracks"][0][1:5]
        assert abs((found[0] + found[2]) / 2 - sum(walker(line["sequence"])[::2]) / 2) < 24, line
    assert len({row[1] for row in results.rows}) == 1
    # Every output names the same frames.
    assert all(("reason" in line) == line["inferred"] for line in log)
    assert not any(line["detections"] for line in log if not line["inferred"])
    assert_summary_balanced(summary)
    inferred = sum(line["inferred"] for line in log)
    ledger, inference = summary["ledger"], summary["cameras"][0]["inference"]
    assert (ledger["inferred"], ledger["unneeded"], ledger["skipped"]) == (inferred, FRAMES - inferred, 0)
    assert inferred < FRAMES / 2
    assert inference["policy"] == "need"
    for reason, count in inference["reasons"].items():
        assert count == sum(line.get("reason") == reason for line in log), reason
    audit = inference["audit"]
    assert audit["count"] == 7 and audit["sightings"] >= 2
    assert (audit["missed"], audit["level"], audit["missed_share"]) == (0, 0, 0)
    assert 0 < audit["missed_share_max"] <= 1

    # The tracker replays the log to the same rows.
    spoton("track", out / "c.jsonl", "-o", tmp_path / "again.txt", expect=0)
    assert read_mot(tmp_path / "again.txt") == results.rows


@pytest.mark.sanitize
@pytest.mark.threads
def test_results_do_not_depend_on_what_runs_beside(spoton, make_clip, clip, tmp_path):
    """Alone, among cameras with another policy, on one thread and on four, with batches: the same bytes."""
    found = set()
    busy = make_clip("h264", frames=60)
    for name, cameras, env in [
            ("alone", [], {"THREADS": 2}), ("slow", [], {"ENGINE_OPTIONS": "delay_us=3000"}),
            ("four", ["d", "e", "f"], {"THREADS": 4, "ENGINE_STREAMS": 4}),
            ("batch", ["d"], {"THREADS": 1, "ENGINE_BATCH": 4})]:
        words = [word for other in cameras for word in ("--camera", f"{other}={busy}")]
        spoton("run", "--camera", f"c={clip}", *words, "--out", tmp_path / name,
               env={"INFERENCE": "need", **env}, expect=0)
        inputs = read_summary(tmp_path / name)["engine"]["inputs"]
        if name == "alone":  # one frame in flight: one stream of both threads
            assert [shape["streams"] for shape in inputs] == [1]
        found.add(((tmp_path / name / "c.jsonl").read_bytes(), (tmp_path / name / "c.txt").read_bytes()))
    assert len(found) == 1


def test_cameras_have_their_own_policy(spoton, clip, tmp_path):
    config = tmp_path / "spoton.yaml"
    config.write_text("detector: {inference: need}\ncameras:\n"
                      f"  - {{name: a, url: {clip}}}\n  - {{name: b, url: {clip}, inference: every}}\n")
    spoton("run", "--config", config, "--out", tmp_path / "out", expect=0)
    a, b = read_summary(tmp_path / "out")["cameras"]
    assert a["inference"]["policy"] == "need" and a["ledger"]["unneeded"] > FRAMES / 2
    assert b["inference"] == {"policy": "every"} and b["ledger"]["inferred"] == FRAMES
    assert not any("reason" in line for line in Results(tmp_path / "out", "b").results_log)


# What a camera sees, and how many inferences a second it may cost in an empty scene. 5.5: the bound of the back-off,
# 0.2 s, and the audits.
DISTURBED = {"calm": ("seed=0", 0.5), "flicker": ("flicker=0:99", 2), "infrared": ("infrared=4:4:20", 0.5),
             "rain": ("rain=0:99", 5.5), "shake": ("shake=0:99", 5.5), "pan": ("pan=2:4:20", 3)}


def test_disturbed_cameras(spoton, tmp_path):
    """Rain, flicker, an infrared switch, a turning and a shaking camera: bounded cost, and visitors are seen in time."""
    rate, frames = 15, 480
    url = f"sim://visit?paced=0&people=1&width=320&height=192&fps={rate}&frames={frames}&tiles=1"
    config, out = tmp_path / "spoton.yaml", tmp_path / "out"
    config.write_text("cameras:\n" + "".join(
        f"  - {{name: {name}-{policy}, url: '{url}&{fault}', inference: {policy}}}\n"
        for name, (fault, _) in DISTURBED.items() for policy in ("every", "need")))
    spoton("run", "--config", config, "--out", out, env={"YOLO_INPUT_SIZE": 320}, expect=0)
    summary = {camera["name"]: camera for camera in read_summary(out)["cameras"]}
    for name, (_, most) in DISTURBED.items():
        every, need = (Results(out, f"{name}-{policy}").results_log for policy in ("every", "need"))
        assert len(every) == len(need) == frames
        # Both visitors, who come after 3 and 23 s and stay for 8 s, in time.
        for begin in (3 * rate, 23 * rate):
            number = next(line["sequence"] for line in every[begin:begin + 8 * rate] if line["tracks"])
            assert any(line["tracks"] for line in need[number:number + round(0.3 * rate) + 1]), (name, number)
        # Empty for a second, until the next visitor comes.
        empty = [number for number in range(frames) if not any(line["tracks"] for line in every[max(0, number - rate):
                                                                                              number + 1])]
        assert len(empty) > 10 * rate
        inferred = sum(need[number]["inferred"] for number in empty)
        assert inferred <= most * len(empty) / rate + 3, (name, inferred, len(empty))
        assert sum(line["inferred"] for line in need) < 0.4 * frames, name
        assert summary[f"{name}-need"]["inference"]["audit"]["missed"] == 0, name
    assert summary["infrared-need"]["inference"]["reasons"]["scene"] >= 2


@pytest.mark.parametrize("env, text", [({"FRAME_SKIP": 2}, "FRAME_SKIP=1"), ({"TRACK_DT": "frames"}, "TRACK_DT=auto")])
def test_what_excludes_it_is_refused(spoton, clip, tmp_path, env, text):
    done = spoton("run", "--camera", f"c={clip}", "--out", tmp_path / "out", env={"INFERENCE": "need", **env}, expect=1)
    assert "camera c: INFERENCE=need" in done.stderr and text in done.stderr


def test_a_failed_inference_is_repeated(spoton, clip, tmp_path):
    """Every third request fails, so one of the audits: the next frame is inferred instead."""
    out = tmp_path / "out"
    spoton("run", "--camera", f"c={clip}", "--out", out, "--limit", 50,
           env={"INFERENCE": "need", "ENGINE_OPTIONS": "fail_every=3"}, expect=1)
    log, summary = Results(out, "c").results_log, read_summary(out)
    assert_summary_balanced(summary)
    assert summary["ledger"]["failed"] == 1
    inferred = [line["sequence"] for line in log if line["inferred"]]
    assert inferred in ([0, 21, 40], [0, 20, 41]) and all(log[n]["reason"] == "audit" for n in inferred[1:])
    assert summary["cameras"][0]["inference"]["audit"]["count"] == 2


@pytest.mark.threads
def test_live(program, tmp_path):
    cameras = {"still": "sim://empty?fps=20", "walk": "sim://walk?fps=20", "every": "sim://empty?fps=20"}
    config = {"INFERENCE": "need"}
    with Serving(program, tmp_path, cameras, config) as server:
        def camera(name):
            return server.get(f"/api/v2/cameras/{name}")
        server.until_live("still", "walk")
        server.until(lambda: camera("still")["inference"]["audit"]["count"] >= 2)
        server.until(lambda: camera("walk")["inference"]["audit"]["sightings"] >= 3)
        still, walk = camera("still"), camera("walk")
        ledger = still["ledger"]
        assert ledger["unneeded"] > 3 * ledger["inferred"] > 0
        assert walk["ledger"]["inferred"] > 0
        reasons = still["inference"]["reasons"]
        assert reasons["start"] >= 1 and reasons["audit"] >= 2 and set(reasons) == set(walk["inference"]["reasons"])
        assert set(server.get("/api/v2/cameras/walk/tracks")) >= {"inferred", "reason"}
        metrics = server.request("GET", "/metrics")[2].decode()
        values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if not line.startswith("#"))
        assert float(values['spoton_frames_total{camera="still",outcome="unneeded"}']) >= ledger["unneeded"]
        assert float(values['spoton_inference_frames_total{camera="still",reason="audit"}']) >= 2
        assert float(values['spoton_inference_audits_total{camera="still"}']) >= 2
        assert float(values['spoton_inference_missed_ratio_max{camera="still"}']) == 1  # no person was seen
        assert float(values['spoton_inference_level{camera="walk"}']) in range(4)
        assert server.get("/api/v2/ledger")["balanced"]
