"""python -m train [COMMAND]: train (the default), evaluate, average, export, label."""
import argparse
import sys
import time
from pathlib import Path

COMMANDS = ("train", "evaluate", "average", "export", "label")


def parser_of_train():
    parser = argparse.ArgumentParser(prog="train", description="Trains or fine-tunes the detector.")
    add = parser.add_argument
    add("--data", required=True, help="folder of tar files or folders of images with labels")
    add("--init", help="initial weights; default: random")
    add("--teacher", help="weights of a larger detector to distil from")
    add("--prune", help="weights of a larger detector, of which the strongest channels are the initial weights")
    add("--model", default="person", help="person or person-n, without --init")
    add("--out", default="out/train", help="folder for weights, checkpoint, ONNX and log")
    add("--sources", help="NAME=WEIGHT,...; default: the square root of their sizes")
    add("--minutes", type=float, help="training time of this call")
    add("--steps", type=int, help="number of steps, instead of --minutes")
    add("--until", type=float, default=1.0, help="part of the schedule done after this call")
    add("--resume", action="store_true", help="continue from the checkpoint in --out")
    add("--device", help="cuda or cpu; default: cuda if there is a GPU")
    add("--size", type=int, help="training images are SIZE x SIZE; default 640, on a CPU 448")
    add("--close-size", type=int, help="SIZE after --close; default: the same")
    add("--canvas", type=int, default=960, help="images are stored with this longest side, px")
    add("--batch", type=int, help="default 128, on a CPU 16")
    add("--rate", type=float, help="peak learning rate; default 4e-4 with --init, else 1.5e-3")
    add("--average", type=float, default=0.9997, help="decay of the averaged weights")
    add("--mosaic", type=float, default=0.5, help="share of mosaics of four images")
    add("--paste", type=float, default=0.15, help="share of images with a person pasted in")
    add("--paste-end", type=float, default=0.0, help="the same after --close")
    add("--patches", type=int, default=1, help="patches per image, each with that probability")
    add("--crowd", type=float, default=0.0,
        help="share of pasted people that are placed next to another person, at the same size")
    add("--crowd-weight", type=float, default=0.0, help="extra loss weight of people who overlap")
    add("--repel", type=float, default=0.0, help="weight of the repulsion loss between neighbours")
    add("--close", type=float, default=0.6, help="part of the schedule after which mosaics are rare")
    add("--rounding-from", type=float, default=2.0,
        help="part of the schedule after which INT8 rounding is simulated (such as 0.9)")
    add("--seed", type=int, default=0)
    add("--report", type=float, default=15, help="seconds between lines of the log")
    add("--checkpoint", type=float, default=75, help="seconds between checkpoints")
    add("--no-graph", dest="graph", action="store_false", help="do not use CUDA graphs")
    add("--no-evaluate", dest="evaluate", action="store_false")
    return parser


def device_of(name):
    import torch
    from . import TrainError
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise TrainError(f"--device {name}: torch {torch.__version__} finds no GPU; use --device cpu")
    return torch.device(name)


def check(settings):
    from . import TrainError
    for size in (settings.size, settings.close_size):
        if size % 32 or size < 64:
            raise TrainError(f"--size {size}: must be a multiple of 32, at least 64")
    if settings.batch < 2:
        raise TrainError(f"--batch {settings.batch}: must be at least 2")
    for name, weight in (("crowd-weight", settings.crowd_weight), ("repel", settings.repel)):
        if not 0 <= weight < float("inf"):
            raise TrainError(f"--{name} {weight}: must be 0 or more")
    if not settings.minutes and not settings.steps:
        raise TrainError("no duration: set --minutes or --steps")


def start(settings, device):
    """-> the net to train, a checkpoint or None"""
    import torch
    from . import TrainError
    from .net import SIZES, Detector, load_weights
    from .prune import prune
    path = Path(settings.out) / "checkpoint.pt"
    if settings.resume:
        if not path.is_file():
            raise TrainError(f"--resume: {path} is missing; run without --resume first")
        state = torch.load(path, map_location=device, weights_only=True)
        return Detector(state["widths"], state["depths"], state["head"]), state
    if settings.init:
        return load_weights(settings.init), None
    if settings.model not in SIZES:
        raise TrainError(f"--model {settings.model}: unknown; use one of {', '.join(SIZES)}")
    net = Detector(**SIZES[settings.model])
    return prune(load_weights(settings.prune), net) if settings.prune else net, None


def train(words):
    settings = parser_of_train().parse_args(words)
    import torch
    from .data import Store, hold_out, read_data, source_weights
    from .evaluate import evaluate
    from .export import export
    from .loop import Trainer, json_log
    from .net import load_weights
    device = device_of(settings.device)
    cuda = device.type == "cuda"
    settings.size = settings.size or (640 if cuda else 448)
    settings.batch = settings.batch or (128 if cuda else 16)
    settings.rate = settings.rate or (4e-4 if settings.init else 1.5e-3)
    settings.close_size = settings.close_size or settings.size
    check(settings)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    out = Path(settings.out)
    out.mkdir(parents=True, exist_ok=True)
    log = json_log(out / "log.jsonl")
    sources, val = read_data(settings.data)
    if not val and settings.evaluate:
        sources, val = hold_out(sources)
    weights = source_weights({n: len(p) for n, p in sources.items()}, settings.sources)
    net, state = start(settings, device)
    begin = time.monotonic()
    store = Store(sources, weights, settings.canvas, device)
    log({"settings": vars(settings), "torch": torch.__version__, "images": store.count,
         "sources": {n: round(w, 3) for n, w in weights.items()},
         "parameters": sum(p.numel() for p in net.parameters()),
         "loaded_seconds": round(time.monotonic() - begin, 1)})
    teacher = load_weights(settings.teacher, device) if settings.teacher else None
    trainer = Trainer(net, store, settings, teacher)
    if state:
        trainer.restore(state)
    torch.manual_seed(settings.seed + trainer.step)  # a resumed run draws other images
    trainer.run(log)
    trainer.save()
    if settings.evaluate and val:
        for part, value in evaluate(trainer.average, val, settings.close_size, device).items():
            log({"evaluated": part, "AP50": round(float(value), 4)})
    if settings.until >= 1:
        print("sha256", export(load_weights(out / "person.pt"), out / "person.onnx"),
              out / "person.onnx")


def evaluate_weights(words):
    parser = argparse.ArgumentParser(prog="train evaluate")
    parser.add_argument("weights")
    parser.add_argument("--data", required=True)
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--device")
    args = parser.parse_args(words)
    from .data import hold_out, read_data
    from .evaluate import evaluate
    from .net import load_weights
    device = device_of(args.device)
    sources, val = read_data(args.data)
    evaluate(load_weights(args.weights, device), val or hold_out(sources)[1], args.size, device)


def average_weights(words):
    parser = argparse.ArgumentParser(
        prog="train average", description="The mean of weights with a common ancestor "
        "(Wortsman et al., Model soups, ICML 2022): often better than each, most of all on other data.")
    parser.add_argument("weights", nargs="+", help="FILE or FILE=SHARE")
    parser.add_argument("out")
    parser.add_argument("--shift", type=float, default=0.0, help="added to the logit of every confidence: "
                        "shifts the balance of precision and recall; average precision is unchanged")
    args = parser.parse_args(words)
    from .net import average, save_weights, shift_confidences
    net = average(args.weights)
    shift_confidences(net, args.shift)
    save_weights(net, args.out, f"mean of {' '.join(args.weights)}, confidences shifted by {args.shift}")


def export_weights(words):
    parser = argparse.ArgumentParser(prog="train export")
    parser.add_argument("weights")
    parser.add_argument("onnx")
    args = parser.parse_args(words)
    from .export import export
    from .net import load_weights
    print("sha256", export(load_weights(args.weights), args.onnx), args.onnx)


def main():
    words = sys.argv[1:]
    command = words.pop(0) if words and words[0] in COMMANDS else "train"
    from . import TrainError
    try:
        if command == "label":
            from .label import label
            label(words)
        else:
            {"train": train, "evaluate": evaluate_weights, "average": average_weights,
             "export": export_weights}[command](words)
    except TrainError as error:
        sys.exit(f"train: {error}")
    except ModuleNotFoundError as error:
        sys.exit(f"train: needs the Python package {error.name}; see tools/train/README.md")


if __name__ == "__main__":
    main()
