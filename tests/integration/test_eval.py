"""spoton eval: average precision on labelled images, and figures of tracks."""

import io
import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests" / "tools"))
import ap  # noqa: E402

FIGURES = json.loads((ROOT / "tests" / "data" / "eval" / "figures.json").read_text())
COMBINED = FIGURES.pop("combined")


# ---- tracks ----

@pytest.mark.parametrize("name", FIGURES)
def test_figures_of_tracks(spoton, request, name):
    """As py-motmetrics and TrackEval have them: tests/tools/track_figures.py."""
    folder = ROOT / "tests" / "data" / "eval"
    if name == "mot17":
        folder = folder / "mot17"
    elif name != "simulated":
        folder = request.getfixturevalue("shared") / "data" / "tracker" / name
        if not folder.is_dir():
            pytest.skip(f"no sequence {name}")
    tracks = folder / ("out.txt" if name in ("simulated", "mot17") else "ref.txt")
    got = json.loads(spoton("eval", "--tracks", folder / "gt.txt", tracks, "--json", expect=0).stdout)
    expected = FIGURES[name]
    for key in ("mota", "idf1", "hota", "id_precision", "id_recall", "mota_trackeval",
                "detection_accuracy", "association_accuracy"):
        assert got[key] == pytest.approx(expected[key], abs=5e-5), key
    assert got["idf1"] == pytest.approx(expected["idf1_trackeval"], abs=5e-5)
    assert got["id_switches"] == expected["id_switches"]
    assert got["id_switches_trackeval"] == expected["id_switches_trackeval"]
    table = spoton("eval", "--tracks", folder / "gt.txt", tracks, expect=0).stdout
    assert f"{expected['hota']:.3f}" in table and f"{expected['mota']:.3f}" in table


def lay_out_sequences(folder):
    """The sequences of FIGURES["combined"], one in each layout."""
    data = ROOT / "tests" / "data" / "eval"
    for source, names in ((data, ("simulated/gt.txt", "simulated.txt")),
                          (data / "mot17", ("mot17/gt/gt.txt", "data/mot17.txt"))):
        for path, name in ((folder / "gt" / names[0], "gt.txt"), (folder / "out" / names[1], "out.txt")):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((source / name).read_bytes())
    (folder / "gt" / "mot17" / "seqinfo.ini").write_text("[Sequence]\nname=mot17\nframeRate=10\nseqLength=60\n")
    (folder / "gt" / "empty").mkdir()
    return folder / "gt", folder / "out"


@pytest.mark.sanitize
def test_a_folder_of_sequences_as_trackeval_combines_them(spoton, tmp_path):
    ground_truth, tracks = lay_out_sequences(tmp_path)
    [got] = json.loads(spoton("eval", "--tracks", ground_truth, tracks, "--json", expect=0).stdout)
    for key, value in COMBINED.items():
        assert got["all"][key] == pytest.approx(value, abs=5e-5), key
    assert [row["sequence"] for row in got["sequences"]] == ["mot17", "simulated"]
    for row in got["sequences"]:
        for key in ("mota", "idf1", "hota", "association_accuracy", "detection_accuracy", "id_switches"):
            assert row[key] == pytest.approx(FIGURES[row["sequence"]][key], abs=5e-5), key
            low, high = got["all"]["interval"][key]
            assert low <= got["all"][key] <= high, key
    # Of two sequences, a quarter of the draws has twice the one or twice the other.
    switches = sorted(row["id_switches"] for row in got["sequences"])
    assert got["all"]["interval"]["id_switches"] == [2 * switches[0], 2 * switches[1]]
    # The lives from the rows: tracks of 60 frames at 10 frames/s, of 80 at 30.
    for row, rate in zip(got["sequences"], (10, 30)):
        lives = {}
        path = tracks / ("data" if rate == 10 else "") / f"{row['sequence']}.txt"
        for line in path.read_text().splitlines():
            frame, identity = map(int, line.split(",")[:2])
            lives.setdefault(identity, []).append(frame)
        lives = [(max(frames) - min(frames)) / rate for frames in lives.values()]
        if rate == 30:  # of mot17, tracks on distractors are not counted
            assert row["mean_life_s"] == pytest.approx(np.mean(lives), abs=1e-4)
            assert row["short_tracks"] == sum(life < 0.5 for life in lives)
        assert row["frame_rate"] == rate and 0 < row["mean_life_s"] <= max(lives)
    table = spoton("eval", "--tracks", ground_truth, tracks, expect=0).stdout
    assert f"{COMBINED['hota']:.3f}" in table and "97.5 %" in table


@pytest.mark.sanitize
def test_one_sequence_has_no_interval(spoton, tmp_path):
    ground_truth, tracks = lay_out_sequences(tmp_path)
    (ground_truth / "mot17" / "gt" / "gt.txt").unlink()
    [got] = json.loads(spoton("eval", "--tracks", ground_truth, tracks, "--json", expect=0).stdout)
    assert len(got["sequences"]) == 1 and "interval" not in got["all"]
    assert "97.5 %" not in spoton("eval", "--tracks", ground_truth, tracks, expect=0).stdout


@pytest.mark.sanitize
def test_folders_that_do_not_fit(spoton, tmp_path):
    ground_truth, tracks = lay_out_sequences(tmp_path)
    assert "give two files or two folders" in spoton("eval", "--tracks", ground_truth, tracks / "simulated.txt",
                                                     expect=1).stderr
    assert "no ground truth" in spoton("eval", "--tracks", ground_truth / "empty", tracks, expect=1).stderr
    (tracks / "simulated.txt").unlink()
    done = spoton("eval", "--tracks", ground_truth, tracks, expect=1)
    assert "no tracks of simulated" in done.stderr and done.stdout == ""


@pytest.mark.sanitize
def test_the_ground_truth_itself_is_perfect(spoton, tmp_path):
    ground_truth = tmp_path / "gt.txt"
    ground_truth.write_text("# two people\n1,5,10,10,20,50,1,1,1\n1,9,100,10,20,50,1,1,1\n\n"
                     "2,5,12,10,20,50,1,1,1\n3,5,14,10,20,50,0,1,1\n3,7,14,10,20,50,1,3,1\n")
    got = json.loads(spoton("eval", "--tracks", ground_truth, ground_truth, "--json", expect=0).stdout)
    # Row five does not count, nor does row six, of another class; both are false boxes as tracks.
    assert (got["ground_truth_boxes"], got["tracked_boxes"]) == (3, 5)
    assert (got["matches"], got["false_positives"], got["misses"]) == (3, 2, 0)
    assert got["mota"] == pytest.approx(1 / 3, abs=1e-4)
    assert got["idf1"] == pytest.approx(6 / 8, abs=1e-4)


def row(frame, identity, left, flag=1, cls=1):
    return f"{frame},{identity},{left},10,20,50,{flag},{cls},1\n"


@pytest.mark.sanitize
def test_distractors_are_no_mistake(spoton, tmp_path):
    """MOT17, as TrackEval does by default: a track on a static person, a person on a vehicle, a distractor or a
    reflection counts neither way, whatever its flag; one on a car, an occluder or a row with flag 0 is a false box."""
    ground_truth, tracks = tmp_path / "gt.txt", tmp_path / "out.txt"
    rows, found, left_out = "", "", 0
    for place, (flag, cls) in enumerate([(1, 1), (0, 2), (0, 7), (1, 8), (0, 12), (0, 1), (0, 3), (0, 9), (0, 6)]):
        rows += row(1, place + 1, 100 * place, flag, cls)
        found += row(1, place + 50, 100 * place + 1).replace(",1,1\n", "\n")
        left_out += cls in (2, 7, 8, 12)
    ground_truth.write_text(rows)
    tracks.write_text(found + row(2, 99, 0))
    got = json.loads(spoton("eval", "--tracks", ground_truth, tracks, "--json", expect=0).stdout)
    assert (got["ground_truth_boxes"], got["distractor_boxes"]) == (1, 4) and left_out == 4
    assert (got["matches"], got["false_positives"], got["misses"]) == (1, 5, 0)
    assert (got["people"], got["tracks"]) == (1, 6)
    assert "4   boxes on distractors" in spoton("eval", "--tracks", ground_truth, tracks, expect=0).stdout


def test_a_person_before_a_distractor_keeps_its_track(spoton, tmp_path):
    """The greatest sum of overlaps says which label a track belongs to."""
    ground_truth, tracks = tmp_path / "gt.txt", tmp_path / "out.txt"
    ground_truth.write_text(row(1, 1, 100) + row(1, 2, 104, 0, 7))
    tracks.write_text(row(1, 1, 101).replace(",1,1\n", "\n"))
    got = json.loads(spoton("eval", "--tracks", ground_truth, tracks, "--json", expect=0).stdout)
    assert (got["mota"], got["hota"], got["distractor_boxes"]) == (1.0, pytest.approx(18 / 19, abs=1e-4), 0)


@pytest.mark.sanitize
def test_places_on_the_ground_are_no_classes(spoton, tmp_path):
    """MOT15 has places in metres where later years have the class."""
    rows = [f"{frame},1,{frame},10,20,40,1" for frame in range(1, 5)]
    tracks = tmp_path / "tracks.txt"
    tracks.write_text("".join(f"{row},-1,-1,-1\n" for row in rows))
    for ends, people in (([",3,1.5,0", ",7.25,2,0", ",-4,1,0", ",1,1,0"], 4),
                         ([",3,0.5", ",7,1", ",1,1", ",-1,1"], 2)):
        ground_truth = tmp_path / "gt2.txt"
        ground_truth.write_text("".join(row + end + "\n" for row, end in zip(rows, ends)))
        got = json.loads(spoton("eval", "--tracks", ground_truth, tracks, "--json", expect=0).stdout)
        assert got["ground_truth_boxes"] == people


@pytest.mark.sanitize
@pytest.mark.parametrize("text, seen", [
    ("1,1,0,0,9\n", "line 1: fewer than 6"),
    ("1,1,0,0,9,9,1\nhello\n", "line 2: not a row"),
    ("0,1,0,0,9,9,1\n", "the frame is not a whole number"),
    ("1,1.5,0,0,9,9,1\n", "the id is not a whole number"),
    ("1,1,0,0,-9,9,1\n", "negative size"),
    ("1,1,0,0,nan,9,1\n", "not a row"),
    ("1,1,0,0,9,9,1\n1,1,5,5,9,9,1\n", "line 2: this id occurs twice"),
    ("1,1,0,0,9,9,0\n", "no row that counts"),
    ("", "no row that counts"),
])
def test_tracks_that_cannot_be_read(spoton, tmp_path, text, seen):
    bad, good = tmp_path / "bad.txt", tmp_path / "good.txt"
    bad.write_text(text)
    good.write_text("1,1,0,0,9,9,1\n")
    done = spoton("eval", "--tracks", bad, good, expect=1)
    assert seen in done.stderr and str(bad) in done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stdout == ""


def test_words_that_are_missing(spoton, tmp_path):
    assert "give two files or folders" in spoton("eval", "--tracks", "x", expect=2).stderr
    assert "give a model" in spoton("eval", "x", expect=2).stderr
    missing = spoton("eval", "--tracks", tmp_path / "no.txt", tmp_path / "no.txt", expect=1)
    assert "check the path" in missing.stderr


# ---- images ----

SIZE = 320


def image(boxes, ending):
    """Bright rectangles on a dark ground, as the fake engine finds them."""
    pixels = np.full((SIZE, SIZE, 3), 16, np.uint8)
    for left, top, right, bottom in boxes:
        pixels[top:bottom, left:right] = 250
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, {"jpg": "JPEG", "png": "PNG", "webp": "WEBP"}[ending],
                                 **({"lossless": True} if ending == "webp" else {"quality": 95}))
    return out.getvalue()


def label(box, flag=0):
    left, top, right, bottom = (v / SIZE for v in box)
    return f"{flag} {(left + right) / 2} {(top + bottom) / 2} {right - left} {bottom - top}\n"


SMALL, MIDDLE, TALL = (16, 16, 32, 48), (64, 64, 96, 144), (160, 32, 240, 256)
FILES = {
    # Everybody is found.
    "a.jpg": image([SMALL, TALL], "jpg"), "a.txt": label(SMALL) + label(TALL, 1),
    # One person is missed, one box is on a doubtful person, one is a false positive.
    "b.png": image([MIDDLE, (200, 8, 216, 40), (8, 200, 40, 232)], "png"),
    "b.txt": label(MIDDLE) + label((200, 200, 240, 280)) + label((200, 8, 216, 40), 2),
    # No people, and no file of labels.
    "c.webp": image([], "webp"),
    "notes.md": b"not an image",
}


def lay_out(folder, kind):
    if kind == "tar" or kind == "gnu":
        path = folder / "data.tar"
        form = tarfile.PAX_FORMAT if kind == "tar" else tarfile.GNU_FORMAT
        with tarfile.open(path, "w", format=form) as tar:
            for name, data in FILES.items():
                data = data.encode() if isinstance(data, str) else data
                # Names too long for the header's own field, and a time that wants a pax header.
                entry = tarfile.TarInfo("set/" + "long-" * 40 + name)
                entry.size, entry.mtime = len(data), 1.5
                tar.addfile(entry, io.BytesIO(data))
        return path
    for name, data in FILES.items():
        where = folder
        if kind == "images":
            where = folder / ("labels" if name.endswith(".txt") else "images")
        where.mkdir(exist_ok=True)
        (where / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


@pytest.mark.sanitize
@pytest.mark.parametrize("kind", ["folder", "images", "tar", "gnu"])
def test_images_with_known_people(spoton, tmp_path, kind):
    folder = tmp_path / "data"
    folder.mkdir()
    path = lay_out(folder, kind)
    boxes = tmp_path / "boxes.txt"
    got = json.loads(spoton("eval", "fake", path, "--json", "-o", boxes,
                            env={"YOLO_INPUT_SIZE": SIZE}, expect=0).stdout)
    assert (got["images"], got["people"], got["doubtful"]) == (3, 4, 1)
    # 3 of 4 found, one box wrong; all have one confidence, so the wrong one may stand anywhere.
    assert got["recall"] == pytest.approx(0.75) and got["precision"] == pytest.approx(0.75)
    heights = {row["height"]: row for row in got["by_height"]}
    assert heights["under 40 px"]["recall"] == 1 and heights["from 200 px"]["ap50"] == 1
    assert heights["40-100 px"]["people"] == 2 and heights["40-100 px"]["recall"] == 0.5
    # The same by the independent script, from the boxes.
    rows = [line.split() for line in boxes.read_text().splitlines()]
    ground_truth = {"a": ([SMALL, TALL], [False] * 2),
             "b": ([MIDDLE, (200, 200, 240, 280), (200, 8, 216, 40)], [False, False, True]),
             "c": ([], [])}
    images = []
    for name, (people, doubtful) in ground_truth.items():
        found = np.array([row[1:] for row in rows if row[0].endswith(name)], float).reshape(-1, 5)
        images.append((found[:, :4], found[:, 4], np.array(people, float).reshape(-1, 4),
                         np.array(doubtful, bool)))
    values = [ap.average_precision(images, iou) for iou in ap.IOUS]
    assert got["ap50"] == pytest.approx(values[0], abs=1e-4)
    assert got["ap50_95"] == pytest.approx(np.mean(values), abs=1e-4)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.sanitize
@pytest.mark.parametrize("files, seen", [
    ({}, "no images"),
    ({"a.jpg": FILES["a.jpg"]}, "none of its 1 images has labels"),
    ({"a.jpg": FILES["a.jpg"], "a.txt": "0 0.5 0.5 0.1\n"}, "labels of a: line 1"),
    ({"a.jpg": FILES["a.jpg"], "a.txt": "\n7 0.5 0.5 0.1 0.1\n"}, "labels of a: line 2"),
    ({"a.jpg": FILES["a.jpg"][:300], "a.txt": label(TALL)}, "image a:"),
    ({"a.jpg": b"no image", "a.txt": label(TALL)}, "image a:"),
])
def test_data_that_cannot_be_used(spoton, tmp_path, files, seen):
    folder = tmp_path / "data"
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    boxes = tmp_path / "boxes.txt"
    done = spoton("eval", "fake", folder, "-o", boxes, expect=1)
    assert seen in done.error_lines[-1], str(done)
    assert done.stdout == "" and not boxes.exists() and not list(tmp_path.glob("*.part"))


@pytest.mark.sanitize
@pytest.mark.parametrize("cut", [100, 512, 1400, 3000])
def test_a_tar_that_is_cut_or_none(spoton, tmp_path, cut):
    path = lay_out(tmp_path, "tar")
    path.write_bytes(path.read_bytes()[:cut])
    done = spoton("eval", "fake", path)
    assert done.returncode == 1 and len(done.error_lines) == 1, str(done)
    path.write_bytes(b"no tar file " * 100)
    assert "not a tar file" in spoton("eval", "fake", path, expect=1).stderr


@pytest.mark.openvino
def test_the_int8_form_beside_the_model_is_taken(spoton, tmp_path):
    """As the server takes it."""
    got = json.loads(spoton("eval", ROOT / "models" / "person.onnx", lay_out(tmp_path, "folder"), "--json",
                            engine="openvino", env={"PRECISION": "int8"}, timeout=120, expect=0).stdout)
    assert Path(got["model"]).name == "person-int8.onnx" and got["precision_used"] == "int8"


@pytest.mark.openvino
def test_the_bundled_model_as_the_script_has_it(spoton, shared, tmp_path):
    """AP of the program's own boxes, computed by tests/tools/ap.py, on images of cameras."""
    data, boxes = shared / "data" / "person" / "val-cctv-0.tar", tmp_path / "boxes.txt"
    done = spoton("eval", ROOT / "models" / "person.onnx", data, "--json", "-o", boxes, engine=None,
                  env={"PRECISION": "f32", "SQUARE_INPUT": "true"}, timeout=240, expect=0)
    got, found = json.loads(done.stdout), ap.read_detections(boxes)
    images = []
    for name, _, people, doubtful in ap.read_labels(data, None):
        rows = np.array(found.get(name, [])).reshape(-1, 5)
        images.append((rows[:, :4], rows[:, 4], people, doubtful))
    values = [ap.average_precision(images, iou) for iou in ap.IOUS]
    assert got["ap50"] == pytest.approx(values[0], abs=5e-4)
    assert got["ap50_95"] == pytest.approx(np.mean(values), abs=5e-4)
    # docs/MODELS.md: the script's own inference has 0.971.
    assert got["ap50"] == pytest.approx(0.971, abs=0.01)
