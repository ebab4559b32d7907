"""Clips with known contents, made by the ffmpeg program: bright rectangles on a dark ground."""

import subprocess

import numpy

STEP_PX = 4  # per frame: one block of the fake engine at twice the size

# extension, ffmpeg's encoder options
CODECS = {
    "h264": ("mp4", ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "12"]),
    "hevc": ("mp4", ["-c:v", "libx265", "-preset", "ultrafast", "-tag:v", "hvc1",
                     "-x265-params", "log-level=error:bframes=2:keyint=12"]),
    "mpeg4": ("avi", ["-c:v", "mpeg4", "-q:v", "2"]),
    "mjpeg": ("avi", ["-c:v", "mjpeg", "-q:v", "2"]),
}


def triangle(value, span):
    """A triangle wave from 0 to span."""
    value %= 2 * span
    return value if value <= span else 2 * span - value


def rectangles(number, size=(320, 240), objects=2):
    """Boxes x1 y1 x2 y2 of frame `number`, one below the other; every second one moves to the left."""
    width, height = size
    instance = height // objects
    boxes = []
    for i in range(objects):
        w, h = max(width // 8 // 8 * 8, 8), max(instance * 5 // 8 // 8 * 8, 8)
        span = (width - w - 16) // STEP_PX * STEP_PX
        at = triangle(number * STEP_PX + (0 if i % 2 == 0 else span), span)
        left, top = 8 + at, (instance * i + 8) // 8 * 8
        boxes.append((left, top, left + w, top + h))
    return boxes


def image(number, size=(320, 240), objects=2):
    """Frame `number` as I420."""
    width, height = size
    luma = numpy.full((height, width), 32, numpy.uint8)
    for left, top, right, bottom in rectangles(number, size, objects):
        luma[top:bottom, left:right] = 235
    chroma = numpy.full((height // 2) * (width // 2) * 2, 128, numpy.uint8)
    return luma.tobytes() + chroma.tobytes()


class ClipMaker:
    def __init__(self, folder):
        self.folder, self.made = folder, {}

    def __call__(self, codec="h264", frames=30, size=(320, 240), rate=10, objects=2, first=0,
                 extension=None, options=()):
        """The path of such a clip; equal arguments return the same file. `first`: the frame of the
        rectangles' movement at which the clip starts."""
        key = (codec, frames, size, rate, objects, first, extension, tuple(options))
        if key not in self.made:
            suffix, encoder = CODECS[codec]
            path = self.folder / f"{codec}-{len(self.made)}.{extension or suffix}"
            raw = b"".join(image(first + n, size, objects) for n in range(frames))
            subprocess.run(
                ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p",
                 "-s", f"{size[0]}x{size[1]}", "-r", str(rate), "-i", "-", *encoder, *options,
                 str(path)],
                input=raw, check=True)
            self.made[key] = path
        return self.made[key]

    def image(self, extension, size=(320, 240)):
        path = self.folder / f"image.{extension}"
        if not path.exists():
            subprocess.run(
                ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "yuv420p",
                 "-s", f"{size[0]}x{size[1]}", "-i", "-", "-frames:v", "1", str(path)],
                input=image(0, size), check=True)
        return path
