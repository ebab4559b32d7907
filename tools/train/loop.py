"""The training loop: schedule, averaged weights, resuming, and on a GPU one CUDA graph for a step.

A run may be cut into calls (GPU time comes in pieces): each call trains for its minutes or steps, moves
the schedule up to --until, and leaves everything that the next one needs in the checkpoint.
"""
import contextlib
import copy
import json
import math
import os
import time
from pathlib import Path

import torch

from . import TrainError
from .draw import Batch, draw_batch
from .loss import detection_loss, teacher_loss
from .net import all_centres, save_weights
from .quantize import start_rounding

WARM_UP_STEPS = 200
LAST_RATE = 0.01
GRADIENT_MAX = 10.0
WEIGHT_DECAY = 0.03
TEACHER_SHARE = 0.6


def floats(net):
    return [v for v in net.state_dict().values() if v.is_floating_point()]


class Trainer:
    def __init__(self, net, store, settings, teacher=None):
        self.settings, self.store, self.device = settings, store, store.device
        self.cuda = store.pixels.is_cuda
        self.net = net.to(self.device).to(memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(self.net).eval()
        self.teacher = teacher and teacher.to(self.device).to(
            memory_format=torch.channels_last).eval()
        matrices = [p for p in net.parameters() if p.ndim > 1]
        vectors = [p for p in net.parameters() if p.ndim <= 1]
        # The graph reads rate and decay from the device; they change from step to step.
        self.rate = torch.zeros((), device=self.device) if self.cuda else 0.0
        self.keep = torch.zeros((), device=self.device)
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": WEIGHT_DECAY},
             {"params": vectors, "weight_decay": 0.0}],
            lr=self.rate, betas=(0.9, 0.99), fused=self.cuda, capturable=self.cuda)
        self.step, self.progress, self.graph, self.static = 0, 0.0, None, None
        self.rounding, self.rounded_before, self.size, self.points = False, False, 0, None
        self.out = Path(settings.out)
        self.losses = torch.zeros(3, device=self.device)

    # --- one step ---------------------------------------------------------------------------

    def compute(self, batch):
        """Forward, backward, optimiser, average. All of it is captured on a GPU."""
        with torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False):
            logits, boxes = self.net(batch.images)
            if self.teacher:
                with torch.no_grad():
                    answers = self.teacher(batch.images)
        loss, confidence, box = detection_loss(logits, boxes, self.points, batch,
                                          self.settings.crowd_weight, self.settings.repel)
        if self.teacher:
            learnt = teacher_loss(logits, boxes, *answers)
            loss = (1 - TEACHER_SHARE) * loss + TEACHER_SHARE * learnt
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), GRADIENT_MAX)
        self.optimizer.step()
        with torch.no_grad():
            self.losses.lerp_(torch.stack([loss.detach(), confidence, box]), 0.02)
            ours, theirs = floats(self.average), floats(self.net)
            change = torch._foreach_sub(theirs, ours)
            torch._foreach_mul_(change, 1 - self.keep)
            torch._foreach_add_(ours, change)

    def set_rates(self):
        rate = self.settings.rate * min(1, (self.step + 1) / WARM_UP_STEPS) * (
            LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * self.progress)))
        for group in self.optimizer.param_groups:
            if self.cuda:
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self.keep.fill_(self.settings.average * (1 - math.exp(-(self.step + 1) / 800)))

    @property
    def closing(self):
        return self.progress >= self.settings.close

    def draw(self):
        settings, closing = self.settings, self.closing
        return draw_batch(self.store, settings.batch, self.size,
                          0.1 * settings.mosaic if closing else settings.mosaic,
                          settings.paste_end if closing else settings.paste, settings.crowd,
                          settings.patches)

    def enter_phase(self):
        """Larger images at the end, then int8's rounding: each needs a graph of its own."""
        settings = self.settings
        size = settings.close_size if self.closing else settings.size
        if size != self.size:
            self.size = size
            self.forget_graph()
            self.points = all_centres(size, size, self.device)
        if settings.rounding_from <= self.progress and not self.rounding:
            if not self.rounded_before:
                save_weights(self.average, self.out / "before-rounding.pt")
            start_rounding(self.net)
            self.rounding = self.rounded_before = True
            self.forget_graph()

    def forget_graph(self):
        self.graph, self.static = None, None
        if self.cuda:
            torch.cuda.empty_cache()  # other runs may share the device

    def train_step(self):
        self.enter_phase()
        with torch.no_grad():
            batch = self.draw()
        self.set_rates()
        if self.cuda and self.settings.graph:
            if self.graph is None:
                self.capture(batch)
            else:
                for mine, new in zip(vars(self.static).values(), vars(batch).values()):
                    mine.copy_(new)
                self.graph.replay()
        else:
            self.optimizer.zero_grad(set_to_none=True)
            self.compute(batch)
        self.step += 1

    def capture(self, batch):
        """Records compute() once; replays it for every later batch. Needs a few real steps first."""
        self.static = Batch(*(v.clone(memory_format=torch.preserve_format)
                              for v in vars(batch).values()))
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.optimizer.zero_grad(set_to_none=True)
                self.compute(self.static)
        torch.cuda.current_stream().wait_stream(stream)
        self.optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()  # what these steps took, on a stream that is not used again
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.compute(self.static)

    # --- a call -----------------------------------------------------------------------------

    def run(self, log):
        """Trains until the minutes or the steps are over."""
        settings, begin, first = self.settings, time.monotonic(), self.step
        start, last, saved = self.progress, begin, begin
        while True:
            now = time.monotonic()
            part = max((now - begin) / (settings.minutes * 60) if settings.minutes else 0,
                       (self.step - first) / settings.steps if settings.steps else 0)
            if part >= 1:
                break
            self.progress = start + (settings.until - start) * part
            self.train_step()
            if now - last > settings.report or self.step - first in (1, 10):
                last = now
                self.report(log, first, begin)
            if now - saved > settings.checkpoint:
                saved = now
                self.save()
        self.progress = settings.until
        self.report(log, first, begin)

    def report(self, log, first, begin):
        losses = self.finite_losses()
        seconds = time.monotonic() - begin
        log({"step": self.step, "progress": round(self.progress, 4), "seconds": round(seconds, 1),
             "images_per_second": round((self.step - first) * self.settings.batch / seconds, 1),
             "rate": float(self.optimizer.param_groups[0]["lr"]), "loss": round(losses[0], 4),
             "confidence": round(losses[1], 4), "box": round(losses[2], 4)})

    def finite_losses(self):
        losses = self.losses.tolist()  # waits for the device
        # Weights become NaN a step before the loss does.
        if not all(math.isfinite(v) for v in losses) or not all(v.isfinite().all() for v in floats(self.net)):
            raise TrainError(f"step {self.step}: the loss ({losses[0]:.4g}) or a weight is not finite; "
                             "use --resume, which continues from the last checkpoint with other images, or a "
                             "lower --rate")
        return losses

    # --- checkpoints ------------------------------------------------------------------------

    def save(self):
        """Saves the checkpoint and the averaged weights, each atomically; never those of a failed run."""
        self.finite_losses()
        state = {"net": self.net.state_dict(), "average": self.average.state_dict(),
                 "optimizer": self.optimizer.state_dict(), "step": self.step,
                 "progress": self.progress, "widths": self.net.widths, "depths": self.net.depths,
                 "head": self.net.head, "rounding": self.rounding}
        path = self.out / "checkpoint.pt"
        torch.save(state, f"{path}.part")
        os.replace(f"{path}.part", path)
        save_weights(self.average, self.out / "person.pt", f"step {self.step}")

    def restore(self, state):
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group in self.optimizer.param_groups:
            if self.cuda:
                group["lr"] = self.rate.clone()
        self.step, self.progress = state["step"], state["progress"]
        self.rounded_before = state["rounding"]


def json_log(path):
    """One JSON object per line, to stdout and appended to a file."""
    def log(entry):
        line = json.dumps(entry)
        print(line, flush=True)
        with contextlib.suppress(OSError), open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")
    return log
