"""Display of frames: rotated and mirrored videos and images, pixels that are not square.

Every expected box is that of the upright clip; what is stored is made here by the definition of the
display matrix (ISO/IEC 14496-12) and of EXIF's orientation tag."""

import io
import itertools
import json
import struct
import subprocess

import numpy
import pytest
from PIL import Image

from checks import Results, probe_video, read_summary
from clips import rectangles
from serving import Serving

SIZE = (320, 240)
FRAMES = 6
# Mirrored left to right, top to bottom, then rows and columns exchanged.
ORIENTATIONS = list(itertools.product([False, True], [False, True], [False, True]))
# EXIF's numbers for these three.
EXIF = {(False, False, False): 1, (True, False, False): 2, (True, True, False): 3, (False, True, False): 4,
        (False, False, True): 5, (False, True, True): 6, (True, True, True): 7, (True, False, True): 8}


def upright(number):
    luma = numpy.full(SIZE[::-1], 32, numpy.uint8)
    for left, top, right, bottom in rectangles(number, SIZE):
        luma[top:bottom, left:right] = 235
    return luma


def stored(luma, orientation):
    """The decoded frame that the display matrix turns upright."""
    flip_x, flip_y, transposed = orientation
    luma = luma.T if transposed else luma
    luma = luma[:, ::-1] if flip_x else luma
    return numpy.ascontiguousarray(luma[::-1] if flip_y else luma)


def write_matrix(path, orientation):
    """Into the track's header: x' = a x + c y, y' = b x + d y."""
    flip_x, flip_y, transposed = orientation
    x, y = (-1 if flip_x else 1), (-1 if flip_y else 1)
    a, b, c, d = (0, x, y, 0) if transposed else (x, 0, 0, y)
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    assert struct.unpack(">9i", data[at:at + 36]) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    data[at:at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def encode(path, frames, words=()):
    height, width = frames[0].shape
    chroma = numpy.full(width * height // 2, 128, numpy.uint8).tobytes()
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p",
                    "-s", f"{width}x{height}", "-r", "10", "-i", "-", *words, "-c:v", "libx264", "-preset",
                    "ultrafast", "-crf", "10", "-bf", "2", path],
                   input=b"".join(f.tobytes() + chroma for f in frames), check=True)


def rotated_clip(folder, orientation):
    path = folder / ("rotated-" + "".join("-+"[o] for o in orientation) + ".mp4")
    encode(path, [stored(upright(n), orientation) for n in range(FRAMES)])
    write_matrix(path, orientation)
    return path


def rotated_image(folder, orientation, number=0):
    path = folder / f"exif-{EXIF[orientation]}.jpg"
    exif = Image.Exif()
    exif[0x112] = EXIF[orientation]
    Image.fromarray(stored(upright(number), orientation)).convert("RGB").save(path, quality=95, exif=exif)
    return path


def assert_boxes(found, number, scale=(1, 1)):
    wanted = [[v * scale[i % 2] for i, v in enumerate(box)] for box in rectangles(number, SIZE)]
    assert len(found) == len(wanted)
    for box in wanted:
        assert any(all(abs(a - b) <= 8.5 for a, b in zip(box, other)) for other in found), (box, found)


def assert_run(out, name, frames, size=SIZE, scale=(1, 1)):
    lines = Results(out, name).results_log
    assert [line["sequence"] for line in lines] == list(range(frames))
    for line in lines:
        assert_boxes([box[:4] for box in line["detections"]], line["sequence"], scale)
    camera = [c for c in read_summary(out)["cameras"] if c["name"] == name][0]
    assert (camera["width"], camera["height"]) == size
    assert probe_video(out / f"{name}.mp4")[:3] == (frames, *size)


@pytest.mark.sanitize
def test_videos_of_every_orientation(spoton, tmp_path):
    cameras = []
    for i, orientation in enumerate(ORIENTATIONS):
        cameras += ["--camera", f"c{i}={rotated_clip(tmp_path, orientation)}"]
    out = tmp_path / "out"
    spoton("run", *cameras, "--video", "--out", out, expect=0)
    for i in range(len(ORIENTATIONS)):
        assert_run(out, f"c{i}", FRAMES)


@pytest.mark.sanitize
def test_images_of_every_orientation(spoton, tmp_path):
    cameras = []
    for i, orientation in enumerate(ORIENTATIONS):
        cameras += ["--camera", f"c{i}={rotated_image(tmp_path, orientation)}"]
    out = tmp_path / "out"
    spoton("run", *cameras, "--video", "--out", out, expect=0)
    for i in range(len(ORIENTATIONS)):
        assert_run(out, f"c{i}", 1)


def test_an_angle_between_is_the_nearest_quarter(spoton, tmp_path):
    """A phone held at 80 degrees."""
    path = rotated_clip(tmp_path, (False, True, True))
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    data[at:at + 36] = struct.pack(">9i", 11380, 64540, 0, -64540, 11380, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    out = tmp_path / "out"
    spoton("run", "--camera", f"c={path}", "--video", "--out", out, expect=0)
    assert_run(out, "c", FRAMES)


def test_labels_of_rotated_images(spoton, tmp_path):
    """eval: labels apply to the displayed frame."""
    data = tmp_path / "data"
    data.mkdir()
    for orientation in ORIENTATIONS:
        path = rotated_image(data, orientation)
        lines = []
        for left, top, right, bottom in rectangles(0, SIZE):
            w, h = SIZE
            lines.append(f"0 {(left + right) / 2 / w} {(top + bottom) / 2 / h} {(right - left) / w} "
                         f"{(bottom - top) / h}\n")
        path.with_suffix(".txt").write_text("".join(lines))
    done = spoton("eval", "fake", data, "--json", env={"YOLO_INPUT_SIZE": "320"}, expect=0)
    got = json.loads(done.stdout)
    assert (got["people"], got["recall"], got["precision"]) == (16, 1.0, 1.0), got


def test_a_rotated_file_is_served_upright(program, tmp_path):
    path = rotated_clip(tmp_path, (False, True, True))
    with Serving(program, tmp_path, {"c": path}) as serving:
        serving.until_live("c")
        camera = serving.get("/api/v2/cameras")["cameras"][0]
        assert (camera["width"], camera["height"]) == SIZE, camera
        _, _, data = serving.request("GET", "/api/v2/cameras/c/snapshot.jpg")
        assert Image.open(io.BytesIO(data)).size == SIZE


@pytest.mark.sanitize
@pytest.mark.parametrize("squeeze", [(2, 1), (1, 2)], ids=["wide", "tall"])
def test_pixels_that_are_not_square(spoton, tmp_path, squeeze):
    """Detection uses square pixels; boxes are in pixels of the stored frame, and the video keeps its
    aspect ratio."""
    x, y = squeeze
    size = (SIZE[0] // x, SIZE[1] // y)
    path = tmp_path / "squeezed.mp4"
    encode(path, [upright(n) for n in range(FRAMES)],
           ["-vf", f"scale={size[0]}:{size[1]}:flags=area,setsar={x}/{y}"])
    out = tmp_path / "out"
    done = spoton("run", "--camera", f"c={path}", "--video", "--out", out,
                  env={"YOLO_INPUT_SIZE": "320"}, expect=0)
    assert_run(out, "c", FRAMES, size, (1 / x, 1 / y))
    assert "320x256" in done.stderr, "the model's input has the aspect that is seen"
    probe = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream=sample_aspect_ratio", "-of",
                            "csv=p=0", out / "c.mp4"], capture_output=True, text=True, check=True)
    assert probe.stdout.strip() == f"{x}:{y}"


def test_viewers_see_square_pixels(program, tmp_path):
    path = tmp_path / "squeezed.mp4"
    encode(path, [upright(n) for n in range(FRAMES)], ["-vf", "scale=160:240,setsar=2/1"])
    with Serving(program, tmp_path, {"c": path}) as serving:
        serving.until_live("c")
        _, _, data = serving.request("GET", "/api/v2/cameras/c/snapshot.jpg")
        assert Image.open(io.BytesIO(data)).size == SIZE
