"""A dry run of rebuilding a model before it is trained, so that it cannot fail afterwards."""

from __future__ import annotations

import numpy as np

from resbuilder.morphnet.channels import layer_maps, maps_without, paired_weights
from resbuilder.morphnet.graph import ChannelGraph
from resbuilder.morphnet.rebuild import rebuild


def check_rebuild(graph: ChannelGraph) -> None:
    """Check that a model can be rebuilt, by rebuilding it with one channel less in every layer.

    Raises:
        ValueError: If the model cannot be rebuilt. The message names the layer.
    """
    dead = np.zeros(graph.size, bool)
    groups: dict[tuple[str, ...], list[int]] = {}
    for group in graph.width_groups():
        groups.setdefault(group.layers, []).extend(group.ids)
    for ids in groups.values():
        free = [i for i in ids if not (graph.fixed[i] or graph.mixed[i])]
        if len(free) > 1:
            dead[free[-1]] = True
    maps = maps_without(graph, dead)
    try:
        small = rebuild(graph, maps)
        layers = layer_maps(graph, maps)
        for new, old, axes in paired_weights(small, graph.model, layers):
            shape = tuple(len(axes.get(a, range(n))) for a, n in enumerate(old.shape))
            if tuple(new.shape) != shape:
                raise ValueError(
                    f"the weight {old.path} would have the shape {tuple(new.shape)}, not {shape}; "
                    "define a rule for its layer with register_layer"
                )
    except ValueError as error:
        raise ValueError(f"this model cannot be rebuilt with fewer channels: {error}") from error
    except Exception as error:
        raise ValueError(
            f"this model cannot be rebuilt with fewer channels: {type(error).__name__}: {error}"
        ) from error
