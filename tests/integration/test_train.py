"""The training recipe, end to end on made images: it learns to find bright rectangles, resumes, and
exports what it trained. Needs torch, which nothing here installs: $SPOTON_TRAIN_PYTHON names a Python
that has it (tools/train/README.md)."""

import json
import os
import random
import subprocess
import sys
import time

import pytest
from PIL import Image, ImageDraw

from conftest import ROOT, SLOWER

PYTHON = os.environ.get("SPOTON_TRAIN_PYTHON", sys.executable)


def run(*words, expect=0):
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "tools"), OMP_NUM_THREADS="1")
    done = subprocess.run([PYTHON, "-m", "train", *map(str, words)], env=environment, text=True,
                          capture_output=True, timeout=240 * SLOWER)
    assert done.returncode == expect, done.stdout + done.stderr
    return done


def check_inside(code, *words):
    """Runs the assertions in `code` where the recipe can be imported."""
    subprocess.run([PYTHON, "-c", code, *map(str, words)], check=True,
                   env=dict(os.environ, PYTHONPATH=str(ROOT / "tools")))


@pytest.fixture(scope="module")
def torch_python():
    done = subprocess.run([PYTHON, "-c", "import torch, PIL, numpy, onnx"], capture_output=True)
    if done.returncode != 0:
        pytest.skip("torch is not installed for this Python (SPOTON_TRAIN_PYTHON names another)")


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frames")
    rng = random.Random(3)
    for number in range(12):
        image, lines = Image.new("RGB", (320, 240), (40, 50, 60)), []
        draw = ImageDraw.Draw(image)
        for _ in range(number % 3):
            x, y, w, h = rng.randrange(250), rng.randrange(120), 30, 80
            draw.rectangle((x, y, x + w, y + h), fill=(230, 220, 90))
            lines.append(f"0 {(x + w / 2) / 320} {(y + h / 2) / 240} {w / 320} {h / 240}\n")
        image.save(folder / f"f{number}.png")
        (folder / f"f{number}.txt").write_text("".join(lines))
    return folder


def test_a_run_in_two_calls_exports_what_it_trained(torch_python, frames, tmp_path):
    out = tmp_path / "out"
    size = ["--size", 128, "--batch", 4, "--steps", 3, "--device", "cpu", "--out", out]
    run("--data", frames, "--init", ROOT / "models" / "person.pt", *size, "--until", 0.5,
        "--no-evaluate")
    run("--data", frames, "--resume", *size, "--rounding-from", 0.8)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    steps = [entry["step"] for entry in log if "step" in entry]
    assert steps[-1] == 6 and steps == sorted(steps)
    assert log[-1]["evaluated"] and 0 <= log[-1]["AP50"] <= 1
    check = (
        "import sys, torch, numpy, onnx\n"
        "from onnx.reference import ReferenceEvaluator\n"
        "from train.net import load_weights\n"
        "net = load_weights(sys.argv[1]).eval()\n"
        "assert not {n.op_type for n in onnx.load(sys.argv[2]).graph.node} & {'Split'}\n"
        "x = torch.rand(2, 3, 64, 96)\n"
        "with torch.no_grad(): logits, boxes = net(x)\n"
        "got = ReferenceEvaluator(sys.argv[2]).run(None, {'images': x.numpy()})[0]\n"
        "assert got.shape == (2, 5, 126), got.shape\n"
        "want = boxes.numpy()\n"
        "low, high = got[:, :2] - got[:, 2:4] / 2, got[:, :2] + got[:, 2:4] / 2\n"
        "assert numpy.abs(numpy.concatenate([low, high], 1).transpose(0, 2, 1) - want).max() < .02\n"
        "assert numpy.abs(got[:, 4] - logits.sigmoid().numpy()).max() < 1e-3\n")
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "tools"))
    done = subprocess.run([PYTHON, "-c", check, out / "person.pt", out / "person.onnx"],
                          env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_killed_run_goes_on_from_its_last_checkpoint(torch_python, frames, tmp_path):
    out = tmp_path / "out"
    words = ["--data", frames, "--model", "person-n", "--size", 96, "--batch", 4, "--device", "cpu",
             "--out", out, "--no-evaluate", "--crowd", 0.5, "--paste", 0.5, "--paste-end", 0.5, "--patches", 2]
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "tools"), OMP_NUM_THREADS="1")
    process = subprocess.Popen(
        [PYTHON, "-m", "train", *map(str, words), "--steps", "100000", "--checkpoint", "0"],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 200 * SLOWER
        while not (out / "person.pt").is_file():  # written after the checkpoint
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    lines = len((out / "log.jsonl").read_text().splitlines())
    run(*words, "--steps", 2, "--resume", "--until", 0.9)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()[lines:]]
    steps = [entry["step"] for entry in log if "step" in entry]
    assert steps[0] >= 2 and steps[-1] == steps[0] + 1


def test_pasting_from_a_image_without_people_leaves_numbers(torch_python):
    """An empty box in the middle of a pixel was divided by itself: one batch in thousands was no number."""
    check = ("import torch\n"
             "from train.draw import _soft_mask\n"
             "boxes = torch.tensor([[10.5, 20.5, 10.5, 20.5], [3.5, 2.0, 3.5, 9.0], [2.0, 2.0, 9.0, 20.0]])\n"
             "mask = _soft_mask(boxes, 32)\n"
             "assert mask.isfinite().all() and mask[2].max() == 1 and mask[2].min() == 0\n"
             "assert mask[2].sum() <= 7 * 18 * 1.1\n")
    check_inside(check)


def test_people_who_overlap_count_more_and_repel_boxes(torch_python):
    """One box covers two people who overlap, another one a person alone: the options raise the loss of the
    first, push its edge away from the neighbour, and leave the second unchanged."""
    check = ("import torch\n"
             "from train.draw import Batch\n"
             "from train.loss import detection_loss\n"
             "from train.net import all_centres\n"
             "points = all_centres(64, 64, 'cpu')\n"
             "def loss(people, answer, **options):\n"
             "    people = torch.tensor(people); none = torch.zeros(1, 4)\n"
             "    batch = Batch(None, people, torch.zeros(len(people), dtype=torch.long), people[:, 0] >= 0,\n"
             "                  none, torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.bool))\n"
             "    boxes = torch.tensor(answer).expand(1, len(points), 4).clone().requires_grad_()\n"
             "    value = detection_loss(torch.zeros(1, len(points)), boxes, points, batch, **options)[0]\n"
             "    value.backward()\n"
             "    return value.item(), boxes.grad.sum((0, 1))\n"
             "two, both = [[8., 8., 28., 56.], [18., 8., 38., 56.]], [8., 8., 38., 56.]\n"
             "plain, pull = loss(two, both)\n"
             "assert loss(two, both, crowd_weight=1.0)[0] > 1.3 * plain\n"
             "pushed, harder = loss(two, both, repel=2.0)\n"
             "assert pushed > plain and harder[2] > pull[2] and harder[0] < pull[0]\n"
             "alone = [[8., 8., 28., 56.], [40., 8., 60., 56.]], [8., 8., 30., 56.]\n"
             "assert loss(*alone)[0] == loss(*alone, crowd_weight=1.0, repel=2.0)[0]\n")
    check_inside(check)


def test_average_is_the_mean_of_weights(torch_python, frames, tmp_path):
    run("--data", frames, "--model", "person-n", "--size", 96, "--batch", 4, "--steps", 1, "--until", 0.5,
        "--device", "cpu", "--out", tmp_path / "a", "--no-evaluate")
    first, other = tmp_path / "a" / "person.pt", tmp_path / "b.pt"
    run("average", first, f"{first}=2", tmp_path / "same.pt")
    change = ("import sys, torch\n"
              "file = torch.load(sys.argv[1], weights_only=True)\n"
              "for v in file['weights'].values():\n"
              "    if v.is_floating_point(): v += 1\n"
              "torch.save(file, sys.argv[2])\n")
    subprocess.run([PYTHON, "-c", change, first, other], check=True)
    run("average", f"{first}=3", other, tmp_path / "mean.pt")
    check = ("import sys, torch\n"
             "a, same, mean = (torch.load(p, weights_only=True)['weights'] for p in sys.argv[1:])\n"
             "for k, v in a.items():\n"
             "    assert torch.allclose(same[k].float(), v.float(), atol=1e-3), k\n"
             "    more = 0.25 if v.is_floating_point() else 0\n"
             "    assert torch.allclose(mean[k].float(), v.float() + more, atol=3e-3, rtol=1e-3), k\n")
    subprocess.run([PYTHON, "-c", check, first, tmp_path / "same.pt", tmp_path / "mean.pt"], check=True)
    run("average", first, "--shift", "-0.5", tmp_path / "moved.pt")
    check = ("import sys\n"
             "from train.net import load_weights\n"
             "a, moved = (load_weights(p).state_dict() for p in sys.argv[1:])\n"
             "other = {k for k in a if not a[k].equal(moved[k])}\n"
             "assert len(other) == 3 and all(k.startswith('scores.') and k.endswith('.bias') for k in other), other\n"
             "assert all(abs((moved[k] - a[k]).item() + 0.5) < 0.01 for k in other)\n")
    check_inside(check, first, tmp_path / "moved.pt")
    done = run("average", first, ROOT / "models" / "person.pt", tmp_path / "no.pt", expect=1)
    assert "not of the shape of" in done.stderr
    for words in ([first, "--shift", "nan"], [f"{first}=nan"]):
        done = run("average", *words, tmp_path / "no.pt", expect=1)
        assert "a number" in done.stderr
    assert not (tmp_path / "no.pt").exists()


def test_it_learns(torch_python, frames, tmp_path):
    """From nothing: the loss of the last steps is well under that of the first."""
    run("--data", frames, "--model", "person-n", "--size", 96, "--batch", 4, "--steps", 30,
        "--rate", "3e-3", "--mosaic", 0, "--paste", 0, "--report", 0, "--no-evaluate",
        "--device", "cpu", "--out", tmp_path / "out")
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    # The log averages over 50 steps from 0; so compare what single steps add to it.
    losses = [entry["loss"] for entry in log if entry.get("step", 0) > 0]
    added = [(b - 0.98 * a) / 0.02 for a, b in zip(losses, losses[1:])]
    assert len(added) >= 24
    assert sum(added[-8:]) < 0.7 * sum(added[:8]), added


def test_a_run_that_diverges_leaves_its_last_good_checkpoint(torch_python, frames, tmp_path):
    words = ["--data", frames, "--model", "person-n", "--size", 96, "--batch", 4, "--no-evaluate",
             "--device", "cpu", "--out", tmp_path / "out", "--checkpoint", 0]
    run(*words, "--steps", 1, "--until", 0.1)
    good = (tmp_path / "out" / "checkpoint.pt").read_bytes()
    done = run(*words, "--resume", "--steps", 3, "--rate", "nan", expect=1)
    assert "use --resume" in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "out" / "checkpoint.pt").read_bytes() == good
    run(*words, "--resume", "--steps", 1)


@pytest.mark.parametrize("words, text", [
    (["--data", "nowhere", "--steps", "1"], "no such folder"),
    (["--data", "BAD", "--steps", "1"], "is not \"flag cx cy w h\""),
    (["--data", "FRAMES"], "set --minutes or --steps"),
    (["--data", "FRAMES", "--steps", "1", "--init", "nothing.pt"], "no such file"),
    (["--data", "FRAMES", "--steps", "1", "--sources", "a=1"], "is not in the data"),
    (["--data", "FRAMES", "--steps", "1", "--crowd-weight", "-3"], "--crowd-weight -3.0: must be 0 or more"),
    (["--data", "FRAMES", "--steps", "1", "--repel", "nan"], "--repel nan: must be 0 or more"),
])
def test_bad_input_is_one_line(torch_python, frames, tmp_path, words, text):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a.jpg").write_bytes((frames / "f0.png").read_bytes())
    (bad / "a.txt").write_text("0 0.5 0.5 12 1\n")
    places = {"BAD": bad, "FRAMES": frames}
    done = run(*[places.get(word, word) for word in words], "--device", "cpu",
               "--out", tmp_path / "out", expect=1)
    lines = [line for line in done.stderr.splitlines() if "Warning" not in line]
    assert len(lines) == 1 and lines[0].startswith("train: ") and text in lines[0], done.stderr
