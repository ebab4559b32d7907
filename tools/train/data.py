"""Reads labelled frames and keeps them on the device, ready to be drawn from.

DIR holds tar files or folders of NAME.jpg|png|webp with NAME.txt: lines "flag cx cy w h", relative to
the frame; flag 0 a person by hand, 1 added by detectors, 2 doubtful (left out of the loss). That
is YOLO's format for one class. `val-NAME*` is for evaluation; everything else trains, and what
shares a name (train-street-0.tar, train-street-1.tar) is one source.
"""
import hashlib
import io
import os
import re
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from . import TrainError

FRAMES = (".jpg", ".jpeg", ".png", ".webp")
BOXES_MAX = 256  # per frame; people beyond it would count as background
LEVELS = 3  # full, half and quarter size: a far person is averaged, not aliased
GREY = 114


@dataclass
class Frame:
    name: str
    data: bytes
    boxes: np.ndarray  # [n,5] flag cx cy w h, relative

    def open(self):
        try:
            return ImageOps.exif_transpose(Image.open(io.BytesIO(self.data))).convert("RGB")
        except Exception as error:  # Pillow's plugins raise many kinds
            raise TrainError(f"frame {self.name}: unreadable: {error}") from None


def parse_labels(name, text):
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if len(row) != 5 or row[0] not in (0, 1, 2) or not all(-0.5 <= v <= 1.5 for v in row[1:]) \
                or min(row[3:]) < 0:
            raise TrainError(f"labels {name}:{number}: {line.strip()[:60]!r} is not "
                             "\"flag cx cy w h\" with flag 0, 1 or 2 and shares of the frame")
        rows.append(row)
    return np.array(rows, np.float32).reshape(-1, 5)


def read_part(path):
    """All frames of a tar file or a folder, by name."""
    files = {}
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in FRAMES + (".txt",) and file.is_file():
                files[str(file.relative_to(path))] = file.read_bytes()
    else:
        try:
            with tarfile.open(path) as tar:
                for member in tar:
                    if member.isfile():
                        files[member.name] = tar.extractfile(member).read()
        except tarfile.TarError as error:
            raise TrainError(f"data {path}: not a tar file: {error}") from None
    frames = []
    for name in sorted(files):
        stem, dot, ending = name.rpartition(".")
        if dot + ending.lower() not in FRAMES:
            continue
        if stem + ".txt" not in files:
            raise TrainError(f"data {path}: {name} has no {Path(stem).name}.txt beside it; "
                             "write an empty one if there are no people")
        text = files[stem + ".txt"].decode("utf-8-sig", "replace")
        frames.append(Frame(name, files[name], parse_labels(f"{path.name}/{stem}.txt", text)))
    return frames


def source_name(path):
    stem = path.name[:-4] if path.name.endswith(".tar") else path.name
    return re.sub(r"^(train|val)-|-\d+$", "", re.sub(r"-\d+$", "", stem)) or stem


def read_data(folder):
    """-> {name: frames} to train on, {name: frames} to evaluate on"""
    folder = Path(folder)
    if not folder.is_dir():
        raise TrainError(f"data {folder}: no such folder")
    parts = sorted(p for p in folder.iterdir() if p.suffix == ".tar" or
                   (p.is_dir() and any(f.suffix.lower() in FRAMES for f in p.rglob("*"))))
    if any(p.suffix.lower() in FRAMES for p in folder.iterdir()):
        parts = [folder]
    train, val = {}, {}
    for path in parts:
        group = val if path.name.startswith("val") else train
        group.setdefault(source_name(path), []).extend(read_part(path))
    train = {name: frames for name, frames in train.items() if frames}
    if not train and not val:
        raise TrainError(f"data {folder}: no frames; add NAME.jpg with NAME.txt, in folders or tar files")
    return train, {name: frames for name, frames in val.items() if frames}


def hold_out(train, share=0.1):
    """Without val-* parts: about a tenth of each source, chosen by name, so always the same."""
    kept, held = {}, {}
    for name, frames in train.items():
        chosen = [int(hashlib.sha256(p.name.encode()).hexdigest(), 16) % 1000 < share * 1000
                  for p in frames]
        kept[name] = [p for p, c in zip(frames, chosen) if not c] or frames
        held[name] = [p for p, c in zip(frames, chosen) if c] or frames[:1]
    return kept, held


def source_weights(names_counts, text):
    """"street=.3,general=.7" -> {name: share}; without it the square root of the number."""
    if text is None:
        weights = {name: count ** 0.5 for name, count in names_counts.items()}
    else:
        try:
            weights = {k: float(v) for k, v in (word.split("=") for word in text.split(","))}
        except ValueError:
            raise TrainError(f"--sources {text!r}: write NAME=WEIGHT,NAME=WEIGHT") from None
        unknown = sorted(set(weights) - set(names_counts))
        if unknown:
            raise TrainError(f"--sources: {unknown[0]!r} is not in the data; there are "
                             + ", ".join(sorted(names_counts)))
    total = sum(weights.values())
    if total <= 0 or min(weights.values()) < 0:
        raise TrainError(f"--sources {text!r}: weights are positive")
    return {name: value / total for name, value in weights.items()}


class Store:
    """Every frame in one flat array of RGBX pixels on the device, at three sizes.

    A pixel is an int32, so that one gather fetches three colours. pixels[0] is grey: what lies
    outside of a frame points there.
    """

    def __init__(self, sources, weights, canvas, device):
        frames = [p for name in weights for p in sources[name]]
        self.count, self.device = len(frames), device
        sizes = [self._size(p, canvas) for p in frames]
        levels, end = np.zeros((self.count, LEVELS, 3), np.int64), 1
        for i, (width, height) in enumerate(sizes):
            for level in range(LEVELS):
                w, h = max(1, width >> level), max(1, height >> level)
                levels[i, level] = end, w, h
                end += w * h
        pixels = torch.empty(end, dtype=torch.int32)
        pixels[0] = GREY | GREY << 8 | GREY << 16
        flat = pixels.numpy()
        boxes = np.zeros((self.count, BOXES_MAX, 5), np.float32)
        numbers = np.zeros(self.count, np.int64)

        def fill(i):
            frame = frames[i].open().resize(sizes[i], Image.Resampling.LANCZOS)
            for level in range(LEVELS):
                offset, w, h = levels[i, level]
                if level:
                    frame = frame.resize((w, h), Image.Resampling.BOX)
                rgbx = np.zeros((h, w, 4), np.uint8)
                rgbx[..., :3] = np.asarray(frame)
                flat[offset:offset + w * h] = rgbx.view(np.int32).ravel()
            rows = frames[i].boxes[:BOXES_MAX]
            half, scale = rows[:, 3:] / 2, np.array(sizes[i] * 2, np.float32)
            corners = np.hstack([rows[:, 1:3] - half, rows[:, 1:3] + half]) * scale
            boxes[i, :len(rows)] = np.hstack([corners, rows[:, :1]])
            numbers[i] = len(rows)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(fill, range(self.count)))
        self.pixels = pixels.to(device)
        self.levels = torch.from_numpy(levels).to(device)  # [n,3,3] offset, width, height
        self.boxes = torch.from_numpy(boxes).to(device)    # [n,BOXES_MAX,5] x1 y1 x2 y2 px, flag
        self.numbers = torch.from_numpy(numbers).to(device)
        self.chance = torch.cat([torch.full((len(sources[name]),), weight / len(sources[name]))
                                 for name, weight in weights.items()]).to(device)

    @staticmethod
    def _size(frame, canvas):
        try:
            image = Image.open(io.BytesIO(frame.data))
            width, height = image.size
            if image.getexif().get(0x112, 1) in (5, 6, 7, 8):  # it lies on its side
                width, height = height, width
        except Exception as error:  # Pillow's plugins raise many kinds
            raise TrainError(f"frame {frame.name}: unreadable: {error}") from None
        scale = min(1.0, canvas / max(width, height))
        return max(1, round(width * scale)), max(1, round(height * scale))

    def draw(self, count):
        """Indices of `count` frames, by the weights of their sources."""
        return torch.multinomial(self.chance, count, replacement=True)
