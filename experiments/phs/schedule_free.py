"""Schedule-Free SGD, a baseline that does not know the end of a training either.

A. Defazio et al., "The Road Less Scheduled", arXiv 2405.15682. The authors' implementation is for
torch, so this module repeats :mod:`experiments.phs.loop` in torch: the same LeNet from the same
initial weights, the same batches in the same order, and the same numbers for each epoch.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from experiments.phs.data import parts
from experiments.phs.lenet import lenet
from experiments.phs.loop import Data


def torch_lenet(model: keras.Model) -> tuple[list, Callable]:
    """Return a torch LeNet that computes the same as a Keras LeNet.

    Args:
        model: See :func:`experiments.phs.lenet.lenet`.

    Returns:
        Its parameters, and the function from images (n, channels, height, width) to logits.
    """
    import torch
    import torch.nn.functional as f

    weights = [torch.tensor(keras.ops.convert_to_numpy(w)) for w in model.weights]
    for i in (0, 2):  # height, width, in, out
        weights[i] = weights[i].permute(3, 2, 0, 1).contiguous()
    for i in (4, 6, 8):  # in, out
        weights[i] = weights[i].T.contiguous()
    parameters = [torch.nn.Parameter(w) for w in weights]

    def logits(x):
        conv1, bias1, conv2, bias2, *dense = parameters
        x = f.max_pool2d(f.relu(f.conv2d(x, conv1, bias1)), 2)
        x = f.max_pool2d(f.relu(f.conv2d(x, conv2, bias2)), 2)
        x = x.permute(0, 2, 3, 1).flatten(1)  # as Keras flattens: channels last
        x = f.relu(f.linear(x, *dense[:2]))
        return f.linear(f.relu(f.linear(x, *dense[2:4])), *dense[4:])

    return parameters, logits


def with_schedule_free(job: dict) -> dict:
    """Do one training with Schedule-Free SGD.

    Args:
        job: As for :func:`experiments.phs.trainings.with_other_optimizer`, without ``schedule``;
            ``momentum`` is the interpolation β.

    Returns:
        The history. As its authors do, validation and test use the averaged weights.

    Raises:
        ValueError: If torch or schedulefree is not installed.
    """
    try:
        import torch
        from schedulefree import SGDScheduleFree
    except ImportError as error:
        raise ValueError(
            f"Schedule-Free SGD needs torch and schedulefree ({error}): run "
            "`pip install -r requirements-test.txt`"
        ) from None
    data = parts(job["dataset"], job["data_dir"], job["limit"])
    model = lenet(data["train"].x.shape[1:], job["seed"])
    parameters, logits = torch_lenet(model)
    optimizer = SGDScheduleFree(parameters, lr=job["learning_rate"], momentum=job["momentum"])
    tensors = {name: _tensors(part) for name, part in data.items()}
    x, y = tensors["train"]
    size, history = job["batch_size"], []
    for epoch in range(job["epochs"]):
        optimizer.train()
        order = np.random.default_rng((job["seed"], epoch)).permutation(len(y))
        order = torch.from_numpy(order[: len(y) // size * size].reshape(-1, size))
        sums = torch.zeros(2)
        for batch in order:
            out = logits(x[batch])
            loss = torch.nn.functional.cross_entropy(out, y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right = (out.argmax(1) == y[batch]).float().mean()
            sums += torch.stack([loss.detach(), right])
        loss, accuracy = (sums / len(order)).tolist()
        optimizer.eval()
        entry = {"epoch": epoch + 1, "loss": loss, "accuracy": accuracy}
        for part, prefix in (("validation", "val_"), ("test", "test_")):
            entry |= {prefix + k: v for k, v in _evaluate(logits, *tensors[part]).items()}
        history.append(entry)
        if not np.isfinite(loss):
            break
    return {"history": history}


def _tensors(data: Data) -> tuple:
    import torch

    x = torch.from_numpy(np.ascontiguousarray(data.x.transpose(0, 3, 1, 2)))
    return x, torch.from_numpy(data.y.astype(np.int64))


def _evaluate(logits, x, y) -> dict:
    """Return mean loss and accuracy on a part of the data."""
    import torch

    with torch.no_grad():
        out = torch.cat([logits(x[i : i + 1000]) for i in range(0, len(y), 1000)])
        loss = torch.nn.functional.cross_entropy(out, y)
    return {"loss": float(loss), "accuracy": float((out.argmax(1) == y).float().mean())}
