"""Time of an epoch, and of an evaluation of 10,000 images, compared with a plain PyTorch loop.

    python -m benchmarks.epoch [--steps 20] [--repeats 5] [--batch 32 128]

The networks are ResNet-18 and ResNet-20 for 32×32×3, scaled to 4e6 FLOPs, at batches of 32 and 128.
Both sides have the same network, Adam, L2 on all kernels, and shuffled, shifted and mirrored
images. The peer is a typical PyTorch loop: one gather per batch, float32, no compilation. Pairs are
measured alternately, on one thread each. Goal: at most 1.1 times PyTorch's processor time.
"""

import argparse
import os

# One thread for each side. TensorFlow reads these variables when it is imported.
for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from benchmarks._measure import pairs, quartiles, versions  # noqa: E402
from resbuilder import TrainConfig, resnet_architecture  # noqa: E402
from resbuilder.architecture import Architecture  # noqa: E402
from resbuilder.datasets import Dataset, Preprocessing, Split  # noqa: E402
from resbuilder.surgery import scale_to_budget  # noqa: E402
from resbuilder.training import Trainer, TrainingData  # noqa: E402

FLOPS, CLASSES, TESTED = 4e6, 10, 10_000
GOAL = 1.1
NETWORKS = {
    "ResNet-18": resnet_architecture((32, 32, 3), CLASSES),
    "ResNet-20": resnet_architecture((32, 32, 3), CLASSES, (16, 32, 64), (3, 3, 3), "small"),
}


def unit(channels: int, width: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Return convolution, batch normalization and ReLU."""
    conv = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


class Residual(nn.Module):
    """A residual block, with a projection if it changes the resolution."""

    def __init__(self, channels: int, inner: int, width: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(unit(channels, inner, stride=stride), unit(inner, width))
        self.skip = nn.Identity() if stride == 1 else unit(channels, width, 1, 2)[:2]

    def forward(self, x):
        """Return the block's output."""
        return self.skip(x) + self.body(x)


def torch_network(architecture: Architecture) -> nn.Sequential:
    """Return the same network in PyTorch."""
    stem, channels = architecture.stem, architecture.stem.width
    layers = [unit(3, channels, stem.kernel, stem.stride)]
    if stem.pool:
        layers.append(nn.MaxPool2d(3, 2, 1))
    for stage in architecture.stages:
        for block in stage.blocks:
            layers.append(Residual(channels, block.inner, stage.width, block.stride))
            channels = stage.width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)
    )


class TorchLoop:
    """A plain training loop on the same images."""

    def __init__(self, architecture: Architecture, data: TrainingData, config: TrainConfig):
        self.network = torch_network(architecture)
        self.config, self.far = config, round(config.shift * 32)
        self.optimizer = torch.optim.Adam(self.network.parameters(), config.learning_rate)
        self.loss = nn.CrossEntropyLoss()
        d = data.dataset
        self.x, self.y = torch.from_numpy(d.x_train), torch.from_numpy(d.y_train)
        self.tested = torch.from_numpy(d.x_test), torch.from_numpy(d.y_test)
        self.indices = torch.from_numpy(data.split.train)
        self.scale = torch.tensor(data.preprocessing.scale)
        self.offset = torch.tensor(data.preprocessing.offset)

    def epoch(self) -> None:
        """Train on every image once."""
        self.network.train()
        order = self.indices[torch.randperm(len(self.indices))]
        total = torch.zeros(())
        for chosen in order.split(self.config.batch_size):
            loss = self.loss(self.network(self.prepared(self.moved(chosen))), self.y[chosen])
            total += loss.detach()
            squares = sum(w.square().sum() for w in self.network.parameters() if w.dim() > 1)
            self.optimizer.zero_grad()
            (loss + self.config.lambda_l2 * squares).backward()
            self.optimizer.step()
        total.item()

    def moved(self, chosen: torch.Tensor) -> torch.Tensor:
        """Return shifted and mirrored images, by one lookup."""
        down, right = torch.randint(-self.far, self.far + 1, (2, len(chosen), 1))
        flip = torch.rand(len(chosen), 1) < 0.5
        side = torch.arange(32)
        rows, columns = (side - down).clamp(0, 31), (side - right).clamp(0, 31)
        columns = torch.where(flip, columns.flip(1), columns)
        return self.x[chosen[:, None, None], rows[:, :, None], columns[:, None]]

    def prepared(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return scaled images, channels first."""
        return (pixels.float() * self.scale + self.offset).permute(0, 3, 1, 2)

    @torch.no_grad()
    def evaluate(self) -> None:
        """Compute loss and accuracy on the test images, in batches of 256."""
        self.network.eval()
        loss, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
        for x, y in zip(*(part.split(256) for part in self.tested), strict=True):
            logits = self.network(self.prepared(x))
            loss += self.loss(logits, y) * len(y)
            right += (logits.argmax(1) == y).sum()
        loss.item(), right.item()


def noise(batch_size: int, steps: int) -> tuple[TrainingData, TrainConfig]:
    """Return images of noise for this many steps, and the settings of the training."""
    rng, images = np.random.default_rng(0), steps * batch_size

    def part(n):
        return rng.integers(0, 256, (n, 32, 32, 3), np.uint8), np.arange(n) % CLASSES

    dataset = Dataset("noise", *part(images + CLASSES), *part(TESTED), None)
    split = Split(np.arange(images), np.arange(images, images + CLASSES))
    fitted = Preprocessing.fit(dataset.x_train, dataset.scaling, split.train)
    return TrainingData(dataset, split, fitted), TrainConfig(dataset="noise", batch_size=batch_size)


def report(what: str, times: np.ndarray, images: int) -> None:
    """Print images per processor second and the ratios, pair by pair."""
    ratios = times[:, 0] / times[:, 1]
    ours, peer = images / np.median(times[:, :, 1], axis=0)
    reached = "reached" if np.median(ratios[:, 1]) <= GOAL else "MISSED"
    print(f"{what}: {ours:,.0f} images per processor second, PyTorch {peer:,.0f} (medians)")
    print(f"  ratio in processor time {quartiles(ratios[:, 1])}, goal <= {GOAL}: {reached}")
    print(f"  ratio {quartiles(ratios[:, 0])}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20, help="steps of an epoch")
    parser.add_argument("--repeats", type=int, default=5, help="pairs of epochs")
    parser.add_argument("--batch", type=int, nargs="*", default=[32, 128], help="batch sizes")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name, full in NETWORKS.items():
        architecture = scale_to_budget(full, FLOPS)
        for size in given.batch:
            data, config = noise(size, given.steps)
            trainer = Trainer(architecture, data, config, 0, regularized=False)
            trainer.model.set_strengths(l2=config.lambda_l2)
            batches, callbacks = trainer.shuffled(seed=0)
            peer = TorchLoop(architecture, data, config)

            def epoch(model=trainer.model, batches=batches, callbacks=callbacks):
                model.fit(batches, callbacks=callbacks, shuffle=False, verbose=0)

            times = pairs(epoch, peer.epoch, given.repeats)
            report(f"epoch of {name}, batches of {size}", times, given.steps * size)
        times = pairs(lambda t=trainer: t.evaluate("test"), peer.evaluate, given.repeats)
        report(f"evaluation by {name}", times, TESTED)
    print(versions())
    print(f"torch {torch.__version__}, oneDNN {os.environ['TF_ENABLE_ONEDNN_OPTS']}")


if __name__ == "__main__":
    main()
