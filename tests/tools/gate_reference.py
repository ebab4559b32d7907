#!/usr/bin/env python3
"""A second implementation of the luma gate (src/schedule/gate.h), in NumPy, and what it computes on made frames.

    tests/tools/gate_reference.py > tests/data/need/gate.txt

The frames come from integer formulas that tests/unit/test_gate.c repeats: a textured background, noise, a square that
walks through, a change of light in all of the frame, a flickering corner, a cut to another scene.
Each line: frame, scene, moving cells, differing cells, checksums of both and of background and noise.
"""
import numpy as np

SCENES = [  # width, height, microseconds between frames, frames
    (640, 360, 100000, 60), (768, 576, 40000, 60), (1920, 1080, 33333, 24), (90, 200, 100000, 40), (33, 7, 200000, 30)]


def frame(width, height, n):
    y, x = np.mgrid[0:height, 0:width].astype(np.uint32)
    level = (x * 7 // 5 + y * 3 + (x // 16) * (y // 16)) % 97 + 40
    if n >= 40:
        level = (x * 3 + y * 11) % 61 + 120  # another scene
    noise = (x * 2654435761 + y * 40503 + np.uint32(n) * 69069) & 0xFFFFFFFF
    noise = (noise ^ (noise >> 15)) * 2246822519 & 0xFFFFFFFF
    level = level + (noise >> 28) % 5
    if 20 <= n < 30:
        level = level + 25  # light
    left, top, side = n * width // 50, height // 3, max(2, height // 4)
    level[(x >= left) & (x < left + side) & (y >= top) & (y < top + side)] = 200
    level[(x < width // 8) & (y < height // 8)] += 15 * (n % 2)
    return np.minimum(level, 255).astype(np.int64)


def fnv(*arrays):
    total = 2166136261
    for values in zip(*[a.ravel().tolist() for a in arrays]):
        for value in values:
            total = ((total ^ value) * 16777619) & 0xFFFFFFFF
    return total


class Gate:
    def __init__(self, width, height):
        longer = max(width, height)
        self.k = max(1, (longer + 80) // 160)
        self.w, self.h = max(1, width // self.k), max(1, height // self.k)
        self.columns, self.rows = -(-self.w // 4), -(-self.h // 4)
        self.begun = False

    def reduce(self, y):
        high, wide = min(self.k, y.shape[0]), min(self.k, y.shape[1])
        step = 4 if self.k >= 16 else 2 if self.k >= 8 else 1
        pixels = wide * ((high + step - 1) // step)
        sums = np.zeros((self.h, self.w), np.int64)
        for r in range(0, high, step):
            for c in range(wide):
                sums += y[r::self.k, c::self.k][:self.h, :self.w]
        return (sums * ((1 << 20) // pixels) + 32768) >> 16

    def median(self, difference):
        """Of every second block, to a quarter of a grey level, downwards."""
        sample = np.sort(difference.ravel()[::2] >> 2)
        return int(sample[(len(sample) + 1) // 2 - 1]) * 4

    def blocks(self, cells):
        return np.repeat(np.repeat(cells, 4, 0), 4, 1)[:self.h, :self.w]

    def count(self, blocks):
        whole = np.zeros((self.rows * 4, self.columns * 4), np.int64)
        whole[:self.h, :self.w] = blocks
        return whole.reshape(self.rows, 4, self.columns, 4).sum((1, 3)) >= 3

    def step(self, means, dt_us, floor, covered):
        if not self.begun:
            self.begun, self.calm = True, 10
            self.previous, self.background = means.copy(), means * 16
            self.noise = np.full_like(means, 256)
            self.moves = self.differs = np.zeros((self.rows, self.columns), bool)
            return True
        change = means - self.previous
        change = np.abs(change - self.median(change))
        light = self.median(means - (self.background >> 4))
        difference = np.abs(means - (self.background >> 4) - light)
        limit = np.maximum(self.noise >> 2, floor)
        self.moves, self.differs = self.count(change > limit), self.count(difference > limit + (limit >> 2))
        share = min(dt_us * 65536 // 3200000, 16384)
        follow = lambda value, target: value + (((target - value) * share + 32768) >> 16)
        noise = np.clip(follow(self.noise, np.minimum(change * 16, 3 * self.noise + 256)), 128, 3072)
        self.noise = np.where(self.blocks(covered), self.noise, noise)
        background = np.clip(self.background + follow(0, light * 16), 0, 65535)
        self.background = np.where(self.blocks(self.differs), background,
                                   np.clip(follow(background, means * 16), 0, 65535))
        self.previous = means
        changed = int(self.moves.sum()) * 5 > self.moves.size * 3
        scene = changed and self.calm >= 10
        self.calm = 0 if changed else self.calm + 1
        return scene

    def absorb(self, cells):
        self.background = np.where(self.blocks(cells), self.previous * 16, self.background)


def main():
    for width, height, dt_us, frames in SCENES:
        gate = Gate(width, height)
        print(f"# {width} {height} {dt_us} {frames}")
        row, column = np.mgrid[0:gate.rows, 0:gate.columns]
        for n in range(frames):
            covered = (column + n) % 7 == 0
            scene = gate.step(gate.reduce(frame(width, height, n)), dt_us, 96 if n % 16 < 8 else 48, covered)
            if n % 10 == 5:
                gate.absorb((row + column) % 3 == 0)
            print(n, int(scene), int(gate.moves.sum()), int(gate.differs.sum()),
                  fnv(gate.moves.astype(int), gate.differs.astype(int)), fnv(gate.background, gate.noise))


if __name__ == "__main__":
    main()
