"""Runs with unusual input and output files: pipes, locks, full disks, interruptions."""

import os
import re
import resource
import signal
import socket
import subprocess
import time

import pytest

from checks import Results, no_leftovers, probe_video, read_summary
from conftest import SLOWER, clean_environment


def until(check, seconds=120):
    limit = time.monotonic() + seconds * SLOWER
    while time.monotonic() < limit:
        if check():
            return
        time.sleep(0.02)
    raise AssertionError("not in time")


def wait_for_handler(process, number):
    """Before the process handles the signal it would die of it."""
    def handles():
        with open(f"/proc/{process.pid}/status") as status:
            caught = re.search(r"^SigCgt:\s*(\w+)", status.read(), re.M)[1]
        return int(caught, 16) >> (number - 1) & 1
    until(handles)


def listed(stdout):
    """The files that "wrote: ..." names."""
    names = []
    for line in re.findall(r"^(?:wrote|people):\s+(\S.*)$", stdout, re.M):
        first, *more = line.split(" and ")
        names += [first] + [first.rsplit(".", 1)[0] + ending for ending in more]
    return names


def test_a_second_run_into_the_folder_is_refused(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    clip = make_clip("h264", frames=40)
    command, first = spoton._start(("run", "--camera", "c1=sim://walk?paced=1", "--out", out), None, "fake")
    until((out / "c1.txt.part").exists)
    done = spoton("run", "--camera", f"c1={clip}", "--camera", f"c2={clip}", "--out", out, expect=1)
    assert len(done.error_lines) == 1 and str(out) in done.stderr and "another" in done.stderr, str(done)
    assert not (out / "c2.txt").exists() and not (out / "summary.json").exists()
    first.send_signal(signal.SIGINT)
    spoton._finish(command, first, 20)
    assert Results(out, "c1").results_log and no_leftovers(out)
    assert [c["name"] for c in read_summary(out)["cameras"]] == ["c1"]
    spoton("run", "--camera", f"c2={clip}", "--out", out, expect=0)  # it ends with the process


def test_pipes_are_refused(spoton, tmp_path):
    """Opening one would wait forever for a writer."""
    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    done = spoton("run", "--camera", f"c={pipe}", "--out", tmp_path / "out", expect=1)
    assert "a pipe, neither a file nor a video device" in done.stderr
    done = spoton("eval", "fake", pipe, expect=1)
    assert "neither a folder nor a file" in done.stderr


def test_only_what_is_there_is_listed(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    clip = make_clip("h264", frames=10)
    done = spoton("run", "--camera", f"good={clip}", "--camera", "bad=/no/such.mp4", "--video", "--out", out,
                  expect=1)
    names = listed(done.stdout)
    assert sorted(names) == sorted([f"{out}/summary.json", f"{out}/good.txt", f"{out}/good.jsonl",
                                    f"{out}/good.mp4"])
    assert all(os.path.exists(name) for name in names)
    done = spoton("run", "--camera", "bad=/no/such.mp4", "--out", tmp_path / "none", expect=1)
    assert listed(done.stdout) == [f"{tmp_path}/none/summary.json"]


def test_a_full_disk_keeps_what_was_written(spoton, program, make_clip, tmp_path):
    """A limit on the file size replaces the full disk, because it needs no privileges."""
    out = tmp_path / "out"
    clip = make_clip("h264", frames=60, size=(640, 480), objects=6, options=("-vf", "noise=alls=30:allf=t"))
    limit = 600 << 10
    environment = clean_environment(tmp_path, {"ENGINE": "fake", "VIDEO_CRF": "18"})
    done = subprocess.run(
        [program, "run", "--camera", f"c1={clip}", "--video", "--out", out], cwd=tmp_path, env=environment,
        capture_output=True, text=True, timeout=120 * SLOWER,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert done.returncode == 1, done.stderr
    assert len(re.findall("File too large", done.stderr)) == 1, done.stderr
    results = Results(out, "c1")  # every line and row is whole
    frames = len(results.results_log)
    assert results.sequences == list(range(frames)) and 0 < frames < 60
    assert {row[0] for row in results.rows} == set(range(1, frames + 1))
    played = probe_video(results.mp4_path)  # without damage
    assert 0 < played[0] <= frames and played[1:3] == (640, 480)
    assert results.mp4_path.stat().st_size <= limit
    summary = read_summary(out)
    assert summary["complete"] is False and "c1.mp4" in summary["cameras"][0]["error"]
    assert sorted(listed(done.stdout)) == sorted(
        [f"{out}/summary.json", *(f"{out}/c1.{ending}" for ending in ("txt", "jsonl", "mp4"))])
    assert sorted(path.name for path in out.iterdir()) == ["c1.jsonl", "c1.mp4", "c1.txt", "summary.json"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
def test_an_interruption_waits_for_nothing(spoton, make_clip, tmp_path, number):
    """With an engine that takes half an hour per frame, for which an orderly end would wait: it would hang."""
    out = tmp_path / "out"
    clip = make_clip("h264", frames=60)
    command, process = spoton._start(
        ("run", "--camera", f"c1={clip}", "--video", "--out", out, "--log-level", "debug"),
        {"FRAME_SKIP": "30", "ENGINE_OPTIONS": "delay_us=2000000000"}, "fake")
    wait_for_handler(process, number)
    time.sleep(2)  # it is in the engine, or about to be
    process.send_signal(number)
    done = spoton._finish(command, process, 60)
    assert done.returncode == 130 and "exiting with the frames written so far" in done.stderr, str(done)
    assert no_leftovers(out)
    assert read_summary(out)["complete"] is False


def test_an_interruption_does_not_wait_for_the_model(spoton, make_clip, tmp_path):
    out = tmp_path / "out"
    command, process = spoton._start(("run", "--camera", f"c1={make_clip('h264', frames=60)}", "--out", out),
                                     {"ENGINE_OPTIONS": "open_ms=3600000"}, "fake")
    wait_for_handler(process, signal.SIGTERM)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    done = spoton._finish(command, process, 60)
    assert done.returncode == 130, str(done)
    assert no_leftovers(out)


def test_a_source_that_never_answers_ends_at_once(spoton, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/live"
        command, process = spoton._start(("run", "--camera", f"c1={url}", "--out", tmp_path / "out"), None, "fake")
        wait_for_handler(process, signal.SIGTERM)
        time.sleep(1)
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        done = spoton._finish(command, process, 60)
    assert time.monotonic() - begin < 8 and done.returncode == 130, str(done)  # FFmpeg's own limit is 10 s
