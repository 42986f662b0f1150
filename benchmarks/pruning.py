"""Accuracy after pruning to 75, 50 and 25 % of the FLOPs, compared with Torch-Pruning.

    python -m benchmarks.pruning --out runs/pruning [--preset quick|full]

A network like ResNet-20 (three stages of three blocks) is trained on CIFAR-10. It is pruned by
``resbuilder.morphnet.prune`` and, after conversion to torch, by Torch-Pruning. Both prune globally
over all layers but the logits, with each of three importances: magnitude, scales of batch
normalization, and Taylor on the same training images. The same function counts FLOPs on both sides,
and both are fine-tuned in the same way. The importance of each side is chosen on validation images,
once for the accuracy right after pruning and once for that after fine-tuning. Test images are only
used for the report.

Measurements are stored in the folder at once, so the command resumes after an interruption. Goal:
better than Torch-Pruning at every point, and at 50 % by more than the spread over seeds.

Torch-Pruning is part of the extra ``benchmarks``, which ``[all]`` does not include.
"""

import argparse
import importlib.util
import json
import math
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from benchmarks._measure import versions
from resbuilder.common.files import write_json
from resbuilder.datasets import load
from resbuilder.morphnet import ChannelGraph, prune

SHARES = (0.75, 0.5, 0.25)
SIDES = {"ours": "resbuilder", "theirs": "Torch-Pruning"}
IMPORTANCES = ("magnitude", "gamma", "taylor")
STAGES, BLOCKS = 3, 3
EPSILON = 1e-3
# Width of the first stage; training, validation and test images; epochs of training and of
# fine-tuning; seeds; images for Taylor; pruning steps of Torch-Pruning.
PRESETS = {
    "full": (8, 12_000, 2_000, 10_000, 18, 3, 3, 512, 100),
    "quick": (8, 2_000, 500, 1_000, 3, 1, 1, 256, 30),
    "tiny": (8, 128, 64, 64, 1, 1, 1, 32, 10),
}
BATCH, RATE, TUNING_RATE, DECAY = 128, 0.1, 0.02, 5e-4


def names() -> list[tuple[str, str, int]]:
    """Return the convolutions: name, name of the input ("" for the image), stride."""
    found = [("stem", "", 1)]
    trunk = "stem"
    for stage in range(STAGES):
        for block in range(BLOCKS):
            stride = 2 if stage and not block else 1
            name = f"s{stage}b{block}"
            found += [(f"{name}c1", trunk, stride), (f"{name}c2", f"{name}c1", 1)]
            if stride == 2:
                found.append((f"{name}p", trunk, 2))
            trunk = name
    return found


def even_widths(width: int) -> dict[str, int]:
    """Return the channels of each convolution before pruning."""
    return {name: width * 2 ** (int(name[1]) if name[0] == "s" and name != "stem" else 0)
            for name, _, _ in names()}  # fmt: skip


def network(widths: dict[str, int]) -> keras.Model:
    """Return the network in Keras. Explicit padding equals torch's padding also at stride 2."""

    def conv(x, name, size, stride):
        x = layers.ZeroPadding2D(name=f"{name}_pad")(x) if size == 3 else x
        x = layers.Conv2D(widths[name], size, stride, use_bias=False, name=name)(x)
        return layers.BatchNormalization(epsilon=EPSILON, momentum=0.9, name=f"{name}_bn")(x)

    inputs = keras.Input((32, 32, 3))
    x = layers.ReLU()(conv(inputs, "stem", 3, 1))
    for stage in range(STAGES):
        for block in range(BLOCKS):
            name, stride = f"s{stage}b{block}", 2 if stage and not block else 1
            y = layers.ReLU()(conv(x, f"{name}c1", 3, stride))
            y = conv(y, f"{name}c2", 3, 1)
            if stride == 2:
                x = conv(layers.AveragePooling2D(2, name=f"{name}_pool")(x), f"{name}p", 1, 1)
            x = layers.ReLU()(layers.Add(name=name)([x, y]))
    x = layers.Dense(10, name="out")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, x)


def torch_network(widths: dict[str, int]):
    """Return the same network in torch."""
    import torch
    from torch import nn

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            made = {"": 3}
            for name, read, stride in names():
                size, stride = (1, 1) if name.endswith("p") else (3, stride)
                conv = nn.Conv2d(made[read], widths[name], size, stride, size // 2, bias=False)
                self.add_module(name, conv)
                self.add_module(f"{name}_bn", nn.BatchNorm2d(widths[name], eps=EPSILON))
                made[name] = widths[name]
                if name.endswith("c2"):
                    made[name[:-2]] = widths[name]
            self.out = nn.Linear(made[f"s{STAGES - 1}b{BLOCKS - 1}"], 10)

        def forward(self, x):
            def conv(x, name):
                return getattr(self, f"{name}_bn")(getattr(self, name)(x))

            x = torch.relu(conv(x, "stem"))
            for stage in range(STAGES):
                for block in range(BLOCKS):
                    name = f"s{stage}b{block}"
                    y = conv(torch.relu(conv(x, f"{name}c1")), f"{name}c2")
                    if hasattr(self, f"{name}p"):
                        x = conv(nn.functional.avg_pool2d(x, 2), f"{name}p")
                    x = torch.relu(x + y)
            return self.out(x.mean(dim=(2, 3)))

    return Network()


def pairs(model: keras.Model, module):
    """Yield the weights of both: (Keras' variable, torch's tensor, whether it is a kernel)."""
    for name, _, _ in names():
        yield model.get_layer(name).kernel, getattr(module, name).weight, True
        ours, theirs = model.get_layer(f"{name}_bn"), getattr(module, f"{name}_bn")
        yield ours.gamma, theirs.weight, False
        yield ours.beta, theirs.bias, False
        yield ours.moving_mean, theirs.running_mean, False
        yield ours.moving_variance, theirs.running_var, False
    yield model.get_layer("out").kernel, module.out.weight, True
    yield model.get_layer("out").bias, module.out.bias, False


def to_torch(model: keras.Model):
    """Return the network with its weights in torch."""
    import torch

    widths = ChannelGraph(model).widths()
    module = torch_network(widths).eval()
    with torch.no_grad():
        for ours, theirs, kernel in pairs(model, module):
            value = ops.convert_to_numpy(ours)
            value = np.moveaxis(value, (-1, -2), (0, 1)) if kernel else value
            theirs.copy_(torch.from_numpy(np.ascontiguousarray(value)))
    return module


def from_torch(module) -> keras.Model:
    """Return a network of torch, pruned or not, in Keras."""
    model = network(widths_of(module))
    for ours, theirs, kernel in pairs(model, module):
        value = theirs.detach().cpu().numpy()
        ours.assign(np.moveaxis(value, (0, 1), (-1, -2)) if kernel else value)
    return model


def flops(widths: dict[str, int]) -> int:
    """Return the FLOPs for one image, 2 for each multiply-add; the counter for both sides."""
    made, side, total = {"": 3}, {"": 32}, 0
    for name, read, stride in names():
        size = 1 if name.endswith("p") else 3
        made[name], side[name] = widths[name], side[read] // stride
        total += 2 * size**2 * side[name] ** 2 * made[read] * made[name]
        if name.endswith("c2"):
            made[name[:-2]], side[name[:-2]] = made[name], side[name]
    return total + 2 * 10 * made[f"s{STAGES - 1}b{BLOCKS - 1}"]


def widths_of(module) -> dict[str, int]:
    """Return the channels of each convolution of a torch network."""
    return {name: getattr(module, name).out_channels for name, _, _ in names()}


def pruned_by_theirs(model, share, importance, images, labels, steps) -> keras.Model:
    """Return a network pruned by Torch-Pruning."""
    import torch
    import torch_pruning as tp

    module = to_torch(model)
    x = torch.from_numpy(np.moveaxis(images, -1, 1).copy())
    y = torch.from_numpy(labels).long()
    check = from_torch(module).predict(images[:8], verbose=0)
    assert np.allclose(check, module(x[:8]).detach().numpy(), atol=1e-3), "networks differ"
    criterion = {
        "magnitude": tp.importance.MagnitudeImportance,
        "gamma": tp.importance.BNScaleImportance,
        "taylor": tp.importance.TaylorImportance,
    }[importance]()
    pruner = tp.pruner.BasePruner(
        module,
        x[:1],
        importance=criterion,
        global_pruning=True,
        pruning_ratio=0.9,
        iterative_steps=steps,
        ignored_layers=[module.out],
    )
    budget = share * flops(ChannelGraph(model).widths())
    for _ in range(steps):
        if importance == "taylor":
            module.zero_grad()
            torch.nn.functional.cross_entropy(module(x), y).backward()
        pruner.step()
        if flops(widths_of(module)) <= budget:
            return from_torch(module)
    raise RuntimeError(f"Torch-Pruning did not reach {share:.0%} of the FLOPs")


def augmented(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return images with random flips and shifts by up to four pixels."""
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    result = np.empty_like(images)
    for n, (top, left, flip) in enumerate(rng.integers(0, (9, 9, 2), (len(images), 3))):
        image = padded[n, top : top + 32, left : left + 32]
        result[n] = image[:, ::-1] if flip else image
    return result


def train(model, data, rate, epochs, seed, begin=0, saved=None) -> None:
    """Train by stochastic gradient descent with a cosine schedule, the same for all."""
    x, y = data
    if not model.compiled:
        # All networks use decoupled weight decay instead of torch's ‖w‖² in the gradient.
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=DECAY)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, jit_compile=False)
    for epoch in range(begin, epochs):
        rng = np.random.default_rng((seed, epoch))
        model.optimizer.learning_rate = rate * (1 + math.cos(math.pi * epoch / epochs)) / 2
        order = rng.permutation(len(x))
        model.fit(augmented(x, rng)[order], y[order], batch_size=BATCH, shuffle=False, verbose=0)
        if saved is not None:
            print(f"seed {seed}: epoch {epoch + 1} of {epochs}", flush=True)
            saved(epoch + 1)


def accuracy(model, data) -> float:
    """Return the accuracy in percent."""
    x, y = data
    return 100 * float(np.mean(model.predict(x, batch_size=250, verbose=0).argmax(axis=1) == y))


class Store:
    """The measurements: a JSON object in a file, written after each measurement."""

    def __init__(self, path: Path):
        self.path = path
        self.values = json.loads(path.read_text()) if path.exists() else {}

    def get(self, key: str, compute):
        """Return the value of a key; compute it if it is missing."""
        if key not in self.values:
            self.values[key] = compute()
            write_json(self.path, self.values)
            print(key, self.values[key], flush=True)
        return self.values[key]


def trained(seed: int, width: int, epochs: int, data, out: Path) -> keras.Model:
    """Return the network before pruning; an interrupted training is resumed."""
    path, progress = out / f"seed{seed}.weights.h5", out / f"seed{seed}.json"
    keras.utils.set_random_seed(seed)
    model = network(even_widths(width))
    begin = json.loads(progress.read_text())["epochs"] if progress.exists() else 0
    if begin:
        model.load_weights(path)

    def saved(done: int) -> None:
        model.save_weights(path)
        write_json(progress, {"epochs": done})

    # After an interruption, the momentum starts from 0.
    train(model, data, RATE, epochs, seed, begin, saved)
    return model


def measure(preset: str, out: Path) -> dict:
    """Return all measurements of a preset by key."""
    width, images, validation, tests, epochs, tuning, seeds, taylor, steps = PRESETS[preset]
    dataset = load("cifar10")
    mean, deviation = (f(dataset.x_train[:images] / 255, axis=(0, 1, 2)) for f in (np.mean, np.std))

    def part(x, y, of):
        return ((x[of] / 255 - mean) / deviation).astype("float32"), y[of].astype("int64").ravel()

    training = part(dataset.x_train, dataset.y_train, slice(images))
    judged = part(dataset.x_train, dataset.y_train, slice(-validation, None))
    test = part(dataset.x_test, dataset.y_test, slice(tests))
    seen = training[0][:taylor], training[1][:taylor]
    store = Store(out / f"{preset}.json")
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for seed in range(seeds):
        base = trained(seed, width, epochs, training, out)
        store.get(
            f"{seed} base",
            lambda m=base: {
                "flops": flops(ChannelGraph(m).widths()),
                "validation": accuracy(m, judged),
                "test": accuracy(m, test),
            },
        )
        for share in SHARES:
            for side in SIDES:
                for importance in IMPORTANCES:

                    def compute(m=base, share=share, side=side, importance=importance, seed=seed):
                        if side == "ours":
                            small = prune(
                                m, flops=share, importance=importance, data=seen,
                                loss=cross_entropy, verbose=False,
                            )  # fmt: skip
                            # Not compiled, so that both sides start with a new optimizer.
                            small = _fresh(small)
                        else:
                            small = pruned_by_theirs(m, share, importance, *seen, steps)
                        row = {"flops": flops(ChannelGraph(small).widths())}
                        row |= {
                            "validation": accuracy(small, judged),
                            "test": accuracy(small, test),
                        }
                        train(small, training, TUNING_RATE, tuning, seed + 1000)
                        row["tuned_validation"] = accuracy(small, judged)
                        return row | {"tuned_test": accuracy(small, test)}

                    store.get(f"{seed} {share} {side} {importance}", compute)
        keras.utils.clear_session(free_memory=True)
    return store.values


def _fresh(model: keras.Model) -> keras.Model:
    """Return the same weights in a model that is not compiled."""
    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def chosen(values: dict, seed: int, share: float, side: str, which: str) -> float:
    """Return the test accuracy of the importance that is best on validation images."""
    rows = [values[f"{seed} {share} {side} {importance}"] for importance in IMPORTANCES]
    return max(rows, key=lambda row: row[f"{which}validation"])[f"{which}test"]


def report(values: dict, seeds: int) -> None:
    """Print the table and the goals."""
    base = [values[f"{seed} base"]["test"] for seed in range(seeds)]
    print(f"before pruning: {_mean(base)} on test images, {values['0 base']['flops']:,} FLOPs")
    for which, words in (("", "right after pruning"), ("tuned_", "after fine-tuning")):
        for share in SHARES:
            ours, theirs = (
                [chosen(values, seed, share, side, which) for seed in range(seeds)]
                for side in SIDES
            )
            difference = np.subtract(ours, theirs)
            spread = float(np.std(difference, ddof=1)) if seeds > 1 else 0.0
            goal = spread if share == 0.5 else 0.0
            verdict = "reached" if difference.mean() >= goal else "MISSED"
            print(
                f"{words}, {share:.0%} of the FLOPs: {_mean(ours)}, Torch-Pruning {_mean(theirs)}"
            )
            print(f"  {difference.mean():+.1f} points, goal >= {goal:.1f}: {verdict}")
    print(versions())


def _mean(values: list[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{spread} %"


def main() -> None:
    """Run the missing measurements, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default="quick",
        help="images, epochs and seeds (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/pruning"),
        help="folder of the measurements (default: %(default)s)",
    )
    arguments = parser.parse_args()
    if importlib.util.find_spec("torch_pruning") is None:
        parser.error("Torch-Pruning is not installed: pip install '.[benchmarks]'")
    out = arguments.out / arguments.preset
    out.mkdir(parents=True, exist_ok=True)
    values = measure(arguments.preset, out)
    report(values, PRESETS[arguments.preset][6])


if __name__ == "__main__":
    main()
