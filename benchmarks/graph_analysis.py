"""Time of MorphNet's analysis of ResNet-18.

Run ``python -m benchmarks.graph_analysis``. Prints milliseconds (median and range over repetitions)
for the channel graph alone and for the whole regularizer (graph, sources, cost coefficients), and
the versions they were measured with.
"""

import statistics
import time

from benchmarks._measure import versions
from resbuilder import build_model, resnet_architecture
from resbuilder.morphnet import ChannelGraph, MorphNetRegularizer

REPETITIONS = 20


def milliseconds(function):
    """Durations of repeated calls after one to warm up."""
    function()
    result = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        function()
        result.append(1e3 * (time.perf_counter() - start))
    return result


def main():
    """Measure and print."""
    model = build_model(resnet_architecture(input_shape=(32, 32, 3), classes=10))
    print(
        f"{versions()}; ResNet-18: {len(model.layers)} layers, {model.count_params():,} "
        f"parameters; {REPETITIONS} repetitions"
    )
    for name, function in {
        "channel graph": lambda: ChannelGraph(model),
        "regularizer": lambda: MorphNetRegularizer(model),
    }.items():
        times = milliseconds(function)
        print(
            f"{name:14} median {statistics.median(times):6.1f} ms "
            f"(from {min(times):.1f} to {max(times):.1f})"
        )


if __name__ == "__main__":
    main()
