"""Pruning to a budget: which channels are removed, their cost, and the resulting network."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

from resbuilder.morphnet import (
    ChannelGraph,
    GradualPruning,
    MorphNetRegularizer,
    output_change,
    prune,
    recalibrate,
    shrink,
)
from resbuilder.morphnet.importance import magnitudes, shares, taylor
from resbuilder.morphnet.removal import without
from resbuilder.morphnet.selection import ChannelCost, select
from tests.resbuilder.morphnet.networks import images_for, outputs, randomize


def two_stages(norm=True):
    """Return convolutions 3 → 8 → 6, a residual branch with 4 channels, and logits."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=not norm, name="a")(inputs)
    x = layers.BatchNormalization(name="a_bn")(x) if norm else x
    x = layers.Conv2D(6, 3, padding="same", name="b")(layers.ReLU()(x))
    x = skip = layers.ReLU()(layers.BatchNormalization(name="b_bn")(x) if norm else x)
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="c")(x)
    x = layers.Add(name="add")([skip, layers.Conv2D(6, 1, name="d")(x)])
    return randomize(
        keras.Model(inputs, layers.Dense(3, name="out")(layers.GlobalAveragePooling2D()(x)))
    )


def flops(model):
    graph = ChannelGraph(model)
    return ChannelCost(graph, "flops").total(np.ones(graph.size, bool))


def test_cost_and_savings_equal_those_of_the_models():
    model = two_stages()
    graph = ChannelGraph(model)
    alive = np.ones(graph.size, bool)
    parameters, operations = ChannelCost(graph, "parameters"), ChannelCost(graph, "flops")
    assert parameters.total(alive) == model.count_params()
    assert operations.total(alive) == MorphNetRegularizer(model, threshold=0).exact_cost()
    for cost in (parameters, operations):
        savings = cost.savings(alive)
        for i in range(3, graph.size - 3):
            less = alive.copy()
            less[i] = False
            assert savings[i] == cost.total(alive) - cost.total(less)


@pytest.mark.parametrize("budget", [0.75, 0.3, 20_000])
def test_the_budget_is_met_and_used(budget):
    model = two_stages()
    whole = flops(model)
    most = budget * whole if budget < 1 else budget
    left = flops(prune(model, flops=budget, verbose=False))
    graph = ChannelGraph(model)
    largest = ChannelCost(graph, "flops").savings(np.ones(graph.size, bool)).max()
    assert most - largest < left <= most


def without_biases():
    inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(layers.Conv2D(12, 1, use_bias=False, name="a")(inputs))
    x = layers.Conv2D(12, 1, use_bias=False, activation="relu", name="b")(layers.ReLU()(x))
    x = layers.GlobalAveragePooling2D()(x)
    ones = dict(use_bias=False, bias_initializer="ones")
    return randomize(keras.Model(inputs, layers.Dense(10, name="out", **ones)(x)))


def test_new_biases_count_as_parameters():
    model = without_biases()
    graph = ChannelGraph(model)
    cost, alive = ChannelCost(graph, "parameters"), np.ones(graph.size, bool)
    assert cost.total(alive) == model.count_params()
    for budget in (120, 180, 240, 300):
        chosen = select(graph, cost, budget, np.ones_like)
        small = without(graph, ~chosen)
        assert small.count_params() == cost.total(chosen) <= budget
        assert small.get_layer("out").use_bias and not small.get_layer("a").use_bias


def test_a_new_bias_equals_the_removed_mean_whatever_its_initializer():
    model = without_biases()
    kernel = model.get_layer("b").kernel.numpy().copy()
    kernel[..., :6] = 0
    model.get_layer("b").kernel.assign(kernel)
    model.get_layer("b").activation = keras.activations.sigmoid
    small = shrink(model, {"b": np.arange(12) >= 6})
    np.testing.assert_allclose(outputs(small), outputs(model), rtol=1e-4, atol=1e-5)


def test_channels_with_the_least_magnitude_per_cost_are_removed_first():
    model = two_stages(norm=False)
    kernel = model.get_layer("a").kernel.numpy().copy()
    kernel[..., [1, 4]] *= 1e-3
    model.get_layer("a").kernel.assign(kernel)
    small = prune(model, flops=0.85, verbose=False)
    kept = small.get_layer("a").kernel.numpy()
    np.testing.assert_array_equal(kept, np.delete(kernel, [1, 4], axis=-1))
    # A channel is judged by its kernel as the normalization applies it, not by the kernel's scale.
    model = two_stages()
    before = magnitudes(ChannelGraph(model))
    for weight, factor in (("kernel", 10), ("moving_variance", 100), ("moving_mean", 10)):
        layer = model.get_layer("a" if weight == "kernel" else "a_bn")
        getattr(layer, weight).assign(getattr(layer, weight) * factor)
    np.testing.assert_allclose(magnitudes(ChannelGraph(model)), before, rtol=1e-2)


def test_a_magnitude_counts_once_for_each_layer_that_produces_the_channel():
    graph = ChannelGraph(two_stages())
    alive = np.ones(graph.size, bool)
    found = shares(graph, magnitudes(graph), alive)
    made = {group.layers: found[group.ids].sum() for group in graph.width_groups()}
    assert set(made) == {(), ("a",), ("b", "d"), ("c",), ("out",)}
    for layers_of_group, total in made.items():
        np.testing.assert_allclose(total, len(layers_of_group))


def test_gamma_needs_normalizations():
    prune(two_stages_with_gammas(), flops=0.5, importance="gamma", verbose=False)
    with pytest.raises(ValueError, match="gamma.*'c'.*magnitude"):
        prune(two_stages(), flops=0.5, importance="gamma")


def two_stages_with_gammas():
    inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(name="a_bn")(layers.Conv2D(8, 3, name="a")(inputs))
    x = layers.BatchNormalization(name="b_bn")(layers.Conv2D(6, 3, name="b")(layers.ReLU()(x)))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    model = randomize(keras.Model(inputs, layers.Dense(3, name="out")(x)))
    model.get_layer("b_bn").gamma.assign([1, 1, 1, 1, 1e-3, 1e-3])
    return model


def test_channels_with_small_gammas_are_removed_first():
    small = prune(two_stages_with_gammas(), parameters=0.85, importance="gamma", verbose=False)
    assert small.get_layer("b_bn").gamma.numpy().tolist() == [1, 1, 1, 1]


@pytest.mark.any_backend
@pytest.mark.slow_on("jax")
def test_taylor_importance_is_the_squared_slope_of_the_loss_along_each_gate():
    """Compare with finite differences, scaling a channel's deviation from its mean."""
    model = two_stages()
    graph = ChannelGraph(model)
    images, labels = images_for(model, 1), np.ones((1, 3), "float32")
    alive = np.ones(graph.size, bool)
    found = taylor(graph, images, labels, "mse", alive)
    layer = model.get_layer("out")
    reading = graph.in_ids(next(s for s in graph.steps if s.name == "c"))
    # `out` reads d (after c) plus the skip as means over positions, where x − m = 0.
    kernel, bias = model.get_layer("d").kernel, model.get_layer("d").bias
    ids = graph.in_ids(next(s for s in graph.steps if s.name == "d"))
    inner = keras.Model(model.inputs, model.get_layer("c").output)
    x = ops.convert_to_numpy(inner(images))
    mean = x.mean(axis=(0, 1, 2))
    step, slopes = 1e-2, []
    for c in range(4):
        values = []
        for sign in (1, -1):
            gate = np.ones(4)
            gate[c] += sign * step
            w, b = kernel.numpy(), bias.numpy()
            kernel.assign(w * gate[:, None])
            bias.assign(b + ((1 - gate) * mean) @ w[0, 0])
            values.append(np.mean((outputs(model, images) - labels) ** 2))
            kernel.assign(w)
            bias.assign(b)
        slopes.append((values[0] - values[1]) / (2 * step))
    np.testing.assert_allclose(found[ids], np.square(slopes), rtol=0.05, atol=1e-7)
    assert len(reading) == 6 and layer.units == 3


@pytest.mark.any_backend
@pytest.mark.slow_on("jax")
def test_taylor_importance_keeps_channels_that_the_loss_depends_on():
    model = two_stages()
    kernel = model.get_layer("b").kernel.numpy().copy()
    kernel[:, :, [2, 5]] = 0  # no layer reads channels 2 and 5 of a
    model.get_layer("b").kernel.assign(kernel)
    images, labels = images_for(model, 8), np.ones((8, 3), "float32")
    small = prune(
        model, flops=0.8, importance="taylor", data=(images, labels), loss="mse", verbose=False
    )
    before, after = model.get_layer("a").kernel.numpy(), small.get_layer("a").kernel.numpy()
    for c in (2, 5):
        assert not (before[..., c : c + 1] == after).all(axis=(0, 1, 2)).any()


def test_means_and_statistics_are_measured_on_data():
    model = two_stages()
    images = images_for(model, 16)
    recalibrate(model, images)
    with_data = prune(model, flops=0.6, data=images, verbose=False)
    without = prune(model, flops=0.6, verbose=False)
    changes = [output_change(model, m, images).relative for m in (with_data, without)]
    assert changes[0] < changes[1]
    inner = keras.Model(model.inputs, model.get_layer("a").output)
    values = ops.convert_to_numpy(inner(images)).reshape(-1, 8)
    bn = model.get_layer("a_bn")
    np.testing.assert_allclose(bn.moving_mean.numpy(), values.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(bn.moving_variance.numpy(), values.var(axis=0), rtol=1e-4)


def test_a_residual_branch_can_be_removed_if_at_least_is_0():
    model = two_stages()
    for name in ("c", "d"):
        model.get_layer(name).kernel.assign(model.get_layer(name).kernel * 1e-4)
    graph = ChannelGraph(model)
    cost = ChannelCost(graph, "flops")
    everything = np.ones(graph.size, bool)
    ids = {s.name: graph.out_ids(s) for s in graph.producers()}
    least = np.ones(graph.size)
    least[ids["c"]] = 1e-9
    budget = int(0.55 * cost.total(everything))
    alive = select(graph, cost, budget, lambda _: least, at_least=0)
    assert not alive[ids["c"]].any()
    alive = select(graph, cost, budget, lambda _: least, at_least=1)
    assert alive[ids["c"]].sum() == 1
    small = prune(model, flops=0.06, at_least=0, verbose=False)
    assert flops(small) <= 0.06 * flops(model)
    assert np.isfinite(outputs(small)).all()


def test_the_mean_of_a_removed_branch_is_measured_on_data():
    """What it adds is read by the addition, not by a convolution."""
    inputs = keras.Input((4, 4, 2))
    x = skip = layers.Conv2D(6, 1, name="stem")(inputs)
    x = layers.Conv2D(1, 1, activation="relu", name="b1")(x)
    x = layers.Add()([skip, layers.Conv2D(6, 1, name="b2")(x)])
    model = randomize(keras.Model(inputs, layers.Conv2D(3, 1, name="out")(x)))
    images = np.random.default_rng(0).uniform(100, 110, (8, 4, 4, 2)).astype("float32")
    budget = 2 * 16 * (2 * 6 + 6 * 3)
    small = prune(model, flops=budget, at_least=0, keep=["stem"], data=images, verbose=False)
    assert not {"b1", "b2"} & {layer.name for layer in small.layers}
    means = [outputs(m, images).mean(axis=(0, 1, 2)) for m in (small, model)]
    np.testing.assert_allclose(*means, rtol=1e-4)


def test_a_scale_of_another_normalization_counts():
    inputs = keras.Input((4, 4, 3))
    x = layers.GroupNormalization(4, name="gn")(layers.Conv2D(4, 1, name="a")(inputs))
    model = randomize(keras.Model(inputs, layers.Conv2D(2, 1)(x)))
    graph = ChannelGraph(model)
    before = magnitudes(graph)
    model.get_layer("gn").gamma.assign(model.get_layer("gn").gamma * [0, 1, 2, 1])
    (ids,) = (graph.out_ids(s) for s in graph.producers() if s.name == "a")
    np.testing.assert_allclose(magnitudes(graph)[ids], before[ids] * [0, 1, 2, 1], rtol=1e-6)


def test_layers_named_in_keep_keep_their_channels():
    small = prune(two_stages(), flops=0.5, keep=("a",), verbose=False)
    assert ChannelGraph(small).widths()["a"] == 8
    assert ChannelGraph(small).widths()["b"] < 6


def test_the_summary_lists_the_changes(capsys):
    model = two_stages()
    small = prune(model, flops=0.5, data=images_for(model))
    text = capsys.readouterr().out
    width = ChannelGraph(small).widths()["a"]
    assert f"FLOPs {flops(model):,} → {flops(small):,}" in text
    assert f"parameters {model.count_params():,} → {small.count_params():,}" in text
    assert any(line.split() == ["a", "8", "→", str(width)] for line in text.splitlines())
    assert "outputs on 4 images changed" in text


BAD = {
    "one budget": {},
    "one budget, either flops": {"flops": 0.5, "parameters": 0.5},
    "share.*-1": {"flops": -1},
    "fewer than": {"parameters": 10**9},
    "must be one of.*'l1'": {"flops": 0.5, "importance": "l1"},
    "gradient of a loss.*no labels": {"flops": 0.5, "importance": "taylor"},
    "cannot be met: with 1 channel left in every layer that may": {"flops": 100},
    "one channel left in every layer that cannot be removed": {"flops": 1, "at_least": 0},
    "a share such as 0.5 or a positive number, got inf": {"flops": float("inf")},
    "keep must be a list of names of layers, got 'a'": {"flops": 0.5, "keep": "a"},
    "keep names unknown layers z": {"flops": 0.5, "keep": ("z",)},
    "at_least must be a whole number >= 0, got -1": {"flops": 0.5, "at_least": -1},
    "at_least must be a whole number >= 0, got 'a'": {"flops": 0.5, "at_least": "a"},
    "keep must be a list of names of layers, got 5": {"flops": 0.5, "keep": 5},
    "data has 4 images, but 6 labels": {
        "flops": 0.5,
        "data": (np.zeros((4, 8, 8, 3)), np.zeros(6)),
    },
    "shapes.*\\(5, 5, 3\\)": {"flops": 0.5, "data": np.zeros((2, 5, 5, 3))},
}


@pytest.mark.parametrize("message", BAD)
def test_a_bad_argument_is_named_in_the_error(message):
    with pytest.raises(ValueError, match=message):
        prune(two_stages(), **BAD[message])


def test_a_network_with_nothing_to_prune_is_refused():
    inputs = keras.Input((4, 4, 3))
    x = layers.LayerNormalization()(layers.Conv2D(5, 3, name="a")(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    with pytest.raises(ValueError, match="no channel.*layer normalization"):
        prune(model, flops=0.5)


@pytest.mark.any_backend
@pytest.mark.slow_on("jax")
def test_gradual_pruning_holds_channels_at_zero_until_they_are_removed():
    model = two_stages()
    images, labels = images_for(model, 12), np.ones((12, 3), "float32")
    pruning = GradualPruning(flops=0.5, begin=1, end=2, verbose=False)
    with pytest.raises(ValueError, match="fit first"):
        pruning.pruned()
    model.compile(keras.optimizers.SGD(1e-2, momentum=0.9), "mse", jit_compile=False)
    model.fit(images, labels, batch_size=4, epochs=4, verbose=0, callbacks=[pruning])
    small = pruning.pruned()
    assert flops(small) <= 0.5 * flops(model)
    change = np.abs(outputs(small, images) - outputs(model, images))
    # Borders are exact in spite of "same" padding, because all biases of removed channels are 0.
    assert change.max() < 1e-4 * np.abs(outputs(model, images)).max()
    assert small.optimizer.momentum == 0.9


@pytest.mark.parametrize("center", [True, False])
def test_gradual_pruning_also_silences_normalizations_without_a_scale(center):
    """Their moving mean would be subtracted from a channel that is zero."""
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(8, 1, name="a")(inputs)
    x = layers.BatchNormalization(scale=False, center=center, momentum=0.9)(x)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    model = randomize(keras.Model(inputs, layers.Dense(3)(x)))
    images, labels = images_for(model, 12), np.ones((12, 3), "float32")
    pruning = GradualPruning(flops=0.5, end=1, verbose=False)
    model.compile(keras.optimizers.SGD(1e-2), "mse", jit_compile=False)
    model.fit(images, labels, batch_size=4, epochs=2, verbose=0, callbacks=[pruning])
    np.testing.assert_allclose(outputs(pruning.pruned(), images), outputs(model, images), rtol=1e-4)


def test_gradual_pruning_judges_channels_by_their_weights_at_that_time():
    inputs = keras.Input((4, 4, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 1, name="a")(inputs))
    model = keras.Model(inputs, layers.Dense(2)(x))
    kernel = model.get_layer("a").kernel
    kernel.assign(np.arange(8.0, 0.0, -1.0).reshape(kernel.shape))
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=False)
    grown = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: kernel.assign(np.arange(1.0, 9.0).reshape(kernel.shape))
    )
    pruning = GradualPruning(flops=0.5, begin=1, end=1, verbose=False)
    model.fit(
        np.ones((4, 4, 4, 1)), np.ones((4, 2)), epochs=2, verbose=0, callbacks=[grown, pruning]
    )
    assert pruning.alive is not None
    ids = pruning.graph.out_ids(next(s for s in pruning.graph.steps if s.name == "a"))
    np.testing.assert_array_equal(pruning.alive[ids], [False] * 4 + [True] * 4)


def test_a_training_that_begins_after_the_end_prunes_to_the_budget_at_once(capsys):
    model = two_stages()
    images, labels = images_for(model, 4), np.ones((4, 3), "float32")
    pruning = GradualPruning(flops=0.5, begin=1, end=2, data=images)
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(images, labels, initial_epoch=5, epochs=7, verbose=0, callbacks=[pruning])
    assert capsys.readouterr().out.count("pruning: removed ") == 1
    assert flops(pruning.pruned()) <= 0.5 * flops(model)


def test_gradual_pruning_of_a_second_network_does_not_use_the_first_ones_channels():
    pruning, found = GradualPruning(flops=0.5, begin=0, end=1, verbose=False), []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: found.append(int(pruning.alive.sum()))
    )
    for _ in range(2):
        model = two_stages()
        model.compile("sgd", "mse", jit_compile=False)
        data = images_for(model, 4), np.ones((4, 3), "float32")
        model.fit(*data, epochs=3, verbose=0, callbacks=[pruning, watch])
    assert found[3:] == found[:3] and found[0] > found[1]
    pruning.model.fit(*data, epochs=1, verbose=0, callbacks=[pruning, watch])  # the same network
    assert found[-1] == found[2]


def test_weights_restored_from_before_the_last_removal_cause_a_warning():
    model = two_stages()
    data = images_for(model, 4), np.ones((4, 3), "float32")
    model.compile("sgd", "mse", jit_compile=False)
    pruning = GradualPruning(flops=0.5, begin=1, end=2, verbose=False)
    before = model.get_weights()
    model.fit(*data, epochs=3, verbose=0, callbacks=[pruning])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        pruning.pruned()
    model.set_weights(before)
    with pytest.warns(UserWarning, match="have weights again.*start_from_epoch=2"):
        pruning.pruned()


def test_taylor_importance_accepts_the_labels_that_fit_accepts():
    inputs = keras.Input((8, 8, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu", name="a")(inputs))
    model = randomize(keras.Model(inputs, layers.Dense(1, "sigmoid")(x)))
    model.compile("sgd", "binary_crossentropy", jit_compile=False)
    images, labels = images_for(model, 6), np.array([0, 1, 1, 0, 1, 0], "float32")
    model.fit(images, labels, verbose=0)
    graph = ChannelGraph(model)
    alive = np.ones(graph.size, bool)
    flat, column = (
        taylor(graph, images, y, "binary_crossentropy", alive) for y in (labels, labels[:, None])
    )
    np.testing.assert_allclose(flat, column)


def test_a_gradual_budget_that_cannot_be_met_is_refused_before_training():
    model = two_stages()
    model.compile("sgd", "mse", jit_compile=False)
    seen = []
    watch = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(epoch))
    with pytest.raises(ValueError, match="cannot be met"):
        model.fit(images_for(model), np.ones((4, 3)), verbose=0,
                  callbacks=[GradualPruning(flops=50), watch])  # fmt: skip
    assert not seen
    with pytest.raises(ValueError, match="one budget"):
        GradualPruning()
    with pytest.raises(ValueError, match="tuple of 3"):
        GradualPruning(flops=0.5, data=(1, 2, 3))
    with pytest.raises(ValueError, match="0 <= begin <= end"):
        GradualPruning(flops=0.5, begin=3, end=1)
