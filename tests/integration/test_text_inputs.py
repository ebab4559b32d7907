"""Text files of other systems: a byte order mark, CRLF, CR alone, blanks between numbers."""

import json

import pytest
from PIL import Image

from checks import read_mot

FORMS = {
    "plain": lambda text: text.encode(),
    "mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "crlf": lambda text: text.replace("\n", "\r\n").encode(),
    "cr": lambda text: text.replace("\n", "\r").encode(),
    "all": lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r").encode() + b"\r\r",
}
ROWS = [f"{frame},-1,{10 + frame}.5,20,30,60,0.9,-1,-1,-1" for frame in range(1, 8)]
SEPARATORS = {"comma": ",", "blank": " ", "tab": "\t", "both": ", ", "before": " ,"}


# Every form of the lines, and every separator.
KINDS = [(form, "comma") for form in FORMS] + [("plain", s) for s in SEPARATORS if s != "comma"]


@pytest.fixture(params=FORMS)
def form(request):
    return FORMS[request.param]


@pytest.mark.sanitize
@pytest.mark.parametrize("form, separator", KINDS)
def test_track_rows(spoton, tmp_path, form, separator):
    rows = "".join("  " * (i % 2) + row.replace(",", SEPARATORS[separator]) + "\n" for i, row in enumerate(ROWS))
    (tmp_path / "det.txt").write_bytes(FORMS[form]("# detections\n\n" + rows))
    spoton("track", tmp_path / "det.txt", "-o", tmp_path / "out.txt", expect=0)
    rows = read_mot(tmp_path / "out.txt")
    assert [row[:2] for row in rows] == [(frame, 1) for frame in range(1, 8)]


def test_track_rows_that_run_together_are_refused(spoton, tmp_path):
    (tmp_path / "det.txt").write_text("1,-1,10.5.3,20,30,60,0.9\n")
    done = spoton("track", tmp_path / "det.txt", "-o", tmp_path / "out.txt", expect=1)
    assert "value 3 (left)" in done.stderr


def test_track_results_log(spoton, tmp_path, form):
    lines = [{"sequence": n, "pts_us": n * 40000, "inferred": True,
              "detections": [[10 + n, 20, 40 + n, 80, 0.9, 0]]} for n in range(7)]
    (tmp_path / "c.jsonl").write_bytes(form("".join(json.dumps(line) + "\n" for line in lines)))
    spoton("track", tmp_path / "c.jsonl", "-o", tmp_path / "out.txt", expect=0)
    assert len(read_mot(tmp_path / "out.txt")) == 7


@pytest.mark.sanitize
@pytest.mark.parametrize("form, separator", KINDS)
def test_eval_tracks(spoton, tmp_path, form, separator):
    rows = "".join(row.replace(",-1,", ",1,", 1).replace(",", SEPARATORS[separator]) + "\n" for row in ROWS)
    (tmp_path / "gt.txt").write_bytes(FORMS[form](rows))
    (tmp_path / "out.txt").write_text("".join(row.replace(",-1,", ",4,", 1) + "\n" for row in ROWS))
    done = spoton("eval", "--tracks", tmp_path / "gt.txt", tmp_path / "out.txt", "--json", expect=0)
    got = json.loads(done.stdout)
    assert (got["ground_truth_boxes"], got["mota"], got["hota"]) == (7, 1.0, 1.0)


@pytest.mark.sanitize
def test_labels(spoton, tmp_path, form):
    image = Image.new("RGB", (320, 320), (16, 16, 16))
    for box in ((16, 16, 47, 79), (160, 32, 239, 255)):
        image.paste((250, 250, 250), (box[0], box[1], box[2] + 1, box[3] + 1))
    data = tmp_path / "data"
    data.mkdir()
    image.save(data / "a.png")
    (data / "a.txt").write_bytes(form("0 0.1 0.15 0.1 0.2\n\n 1\t0.625  0.45 0.25 0.7 \n"))
    done = spoton("eval", "fake", data, "--json", env={"YOLO_INPUT_SIZE": "320"}, expect=0)
    got = json.loads(done.stdout)
    assert (got["people"], got["recall"], got["precision"]) == (2, 1.0, 1.0)


@pytest.mark.sanitize
def test_settings(spoton, make_clip, tmp_path, form):
    text = f"# settings\nFRAME_SKIP = 3 \n\nexport CAMERA_c1='{make_clip('h264', frames=10)}'\n"
    (tmp_path / "mine.env").write_bytes(form(text))
    spoton("run", "--env", tmp_path / "mine.env", "--out", tmp_path / "out", expect=0)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["settings"]["FRAME_SKIP"] == "3"
    assert summary["cameras"][0]["ledger"]["inferred"] == 4


def test_calibration(spoton, make_clip, tmp_path, form):
    points = [[0, 0], [320, 0], [320, 240], [0, 240]]
    text = json.dumps({"cameras": [{"id": "c1", "image_size": [320, 240], "homography": [
        [1, 0, 0], [0, 1, 0], [0, 0, 1]], "points": points}]}, indent=1)
    (tmp_path / "map.json").write_bytes(form(text))
    done = spoton("run", "--camera", f"c1={make_clip('h264', frames=10)}", "--out", tmp_path / "out",
                  env={"HOMOGRAPHY_FILE_PATH": str(tmp_path / "map.json")})
    # The contents may be refused, but they were parsed as JSON.
    assert "map.json, line" not in done.stderr, done.stderr
