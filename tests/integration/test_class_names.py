"""What a model's classes are called: in CLASSES, and in everything that the program gives out.

The fake engine takes any file for a model of one class; its name stands in the file, as exporters
write it."""

import json

import pytest

from checks import Results, read_summary
from serving import LIMIT_S, Serving, connect
from test_server import python_reader

HARD_HAT = "..{0: 'hard hat'}.."


def write_model(folder, text=HARD_HAT, name="best.bin"):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def test_a_model_without_people_says_what_it_has(spoton, make_clip, tmp_path):
    model = write_model(tmp_path)
    done = spoton("run", make_clip(), "--out", tmp_path / "out", env={"YOLO_MODEL_PATH": model},
                  expect=1)
    assert len(done.error_lines) == 1
    assert '"person" is not a class of best.bin; its classes are 0 hard hat' in done.error_lines[0]
    done = spoton("run", make_clip(), "--out", tmp_path / "out", expect=1,
                  env={"YOLO_MODEL_PATH": model, "CLASSES": "hard hut"})
    assert 'did you mean "hard hat"?' in done.error_lines[0]


@pytest.mark.parametrize("classes", ["hard hat", "Hard_Hat", "0", "all"])
def test_names_in_the_files_of_a_run(spoton, make_clip, tmp_path, classes):
    out = tmp_path / "out"
    spoton("run", "--camera", f"c={make_clip(frames=6)}", "--out", out, "--video",
           env={"YOLO_MODEL_PATH": write_model(tmp_path), "CLASSES": classes}, expect=0)
    lines = Results(out, "c").results_log
    assert sum(len(line["tracks"]) for line in lines) > 0
    for line in lines:
        speaks = bool(line["detections"] or line["tracks"])
        assert line.get("classes") == ({"0": "hard hat"} if speaks else None)
    assert read_summary(out)["model"]["reported"] == {"0": "hard hat"}


def test_doctor_lists_the_classes(spoton, tmp_path):
    model = write_model(tmp_path, name="best.onnx", text="")
    (tmp_path / "best_openvino_model").mkdir()
    done = spoton("doctor", env={"YOLO_MODEL_PATH": model, "CLASSES": "0"})
    assert "classes: 0 person" in done.stdout
    done = spoton("doctor", env={"YOLO_MODEL_PATH": write_model(tmp_path)})
    assert "classes: 0 hard hat" in done.stdout
    assert 'PROBLEM: CLASSES: "person" is not a class' in done.stdout


def test_an_exported_folder_is_a_model(spoton, make_clip, tmp_path):
    folder = tmp_path / "best_openvino_model"
    folder.mkdir()
    (folder / "best.xml").write_text("<net><edges></edges><rt_info><labels value='x'/></rt_info></net>")
    (folder / "metadata.yaml").write_text("stride: 32\nnames:\n  0: hard hat\n")
    env = {"YOLO_MODEL_PATH": folder, "CLASSES": "hard hat"}
    out = tmp_path / "out"
    spoton("run", "--camera", f"c={make_clip(frames=6)}", "--out", out, env=env, expect=0)
    summary = read_summary(out)
    assert summary["model"]["path"] == str(folder / "best.xml")
    assert summary["cameras"][0]["rows"] > 0
    (folder / "other.xml").write_text("<net/>")
    done = spoton("run", make_clip(), "--out", out, env=env, expect=1)
    assert "the folder contains 2 models (*.xml, the first is best.xml)" in done.error_lines[0]
    for name in ("best.xml", "other.xml"):
        (folder / name).unlink()
    done = spoton("run", make_clip(), "--out", out, env=env)
    assert "neither manifest.json nor a .xml, .onnx or .tflite file" in done.error_lines[0]


def test_names_over_the_network(program, tmp_path):
    env = {"YOLO_MODEL_PATH": write_model(tmp_path), "CLASSES": "hard hat"}
    with Serving(program, tmp_path, {"c1": "sim://walk?fps=10"}, env) as s:
        s.until_live("c1")
        assert s.get("/api/v2/stats")["engine"]["classes"] == {"0": "hard hat"}

        def tracks():
            return s.get("/api/v2/cameras/c1/tracks")["tracks"]
        s.until(lambda: s.request("GET", "/api/v2/cameras/c1/tracks")[0] == 200 and tracks())
        with connect(s.ws_url("/api/v2/ws?format=json")) as client:
            for _ in range(100):
                message = json.loads(client.recv(LIMIT_S))
                if message["tracks"]:
                    break
        assert {track[6] for track in message["tracks"]} == {"hard hat"}
        read = python_reader()
        with connect(s.ws_url("/api/v2/ws?format=binary")) as client:
            for _ in range(100):
                message = read(client.recv(LIMIT_S))
                if message["tracks"]:
                    break
        assert {track["class"] for track in message["tracks"]} == {0}


def test_eval_says_which_class(spoton, make_clip, tmp_path):
    import numpy
    from PIL import Image
    folder = tmp_path / "data"
    folder.mkdir()
    image = numpy.full((128, 128, 3), 32, numpy.uint8)
    image[32:96, 32:64] = 235
    Image.fromarray(image).save(folder / "a.png")
    (folder / "a.txt").write_text("0 0.375 0.5 0.25 0.5\n")
    env = {"CLASSES": "hard hat"}
    model = write_model(tmp_path)
    done = spoton("eval", model, folder, env=env, expect=0)
    assert "class hard hat; precision and recall" in done.stdout
    assert json.loads(spoton("eval", model, folder, "--json", env=env).stdout)["class"] == "hard hat"
    done = spoton("eval", model, folder, expect=1)
    assert "its classes are 0 hard hat" in done.error_lines[0]
