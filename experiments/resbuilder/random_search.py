"""Random search: random insertions without regularizers, a baseline that a search must beat.

Every network starts from RB-0Net or ResNet-18. It gets one to n_M·n_Λ blocks where a search would
insert them, inner widths of a quarter to twice the stage's, and one factor on all widths that fills
the budget. Each network is trained once from scratch; the best on validation data wins.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from resbuilder import Architecture, SearchConfig
from resbuilder.pipeline.loop import Loop
from resbuilder.progress import SearchProgress
from resbuilder.run import Run, read_data
from resbuilder.start_network import start_architecture
from resbuilder.surgery import draw_insertion, scale_to_budget
from resbuilder.training import TrainingData
from resbuilder.variants import NO_REG_RI

STARTS = ("rb-0net", "rb-r18")
INNER = (0.25, 0.5, 1.0, 2.0)


class RandomSearch(Loop):
    """Draws and trains networks instead of changing one; its run folder is like that of a search.

    Args:
        run: The run folder.
        data: The data.
        progress: Where to show progress; it expects one training for each network.
        networks: How many networks to draw.
    """

    def __init__(self, run: Run, data: TrainingData, progress: SearchProgress, networks: int):
        super().__init__(run, data, None, progress)
        self.data, self.networks = data, networks

    def rounds(self) -> None:
        """Draw and train the networks one by one."""
        for index in range(self.networks):
            node = self.add(self.draw(index), "start")
            self.training(node, NO_REG_RI, lambda n=node: self.steps.train_and_judge(n, NO_REG_RI))

    def draw(self, index: int) -> Architecture:
        """Return network number ``index``, which is always the same."""
        rng = np.random.default_rng(self.steps.seed(index, "network"))
        start = replace(self.config, start=STARTS[rng.integers(len(STARTS))])
        architecture = start_architecture(start, self.data.dataset)
        for number in range(rng.integers(self.config.rounds * self.config.insertions) + 1):
            architecture, _ = draw_insertion(architecture, (), f"n{number}", rng)
        widths = architecture.widths()
        inner = {
            first: max(1, round(widths[second] * rng.choice(INNER)))
            for first, second in architecture.block_convolutions().values()
        }
        return scale_to_budget(architecture.with_widths(inner), int(self.config.flops))


def random_search(
    config: SearchConfig, folder: Path, progress: SearchProgress, networks: int
) -> None:
    """Start a random search in a folder, or resume it.

    Raises:
        ValueError: If the data cannot be read or the budget is too small.
    """
    begun = (folder / "config.json").exists()
    config = config.resolved()
    data = None if begun else TrainingData.load(config)
    with Run.create(folder, config, data=data.record()) if data else Run.open(folder) as run:
        data = data or TrainingData.load(run.config, read_data(folder))
        RandomSearch(run, data, progress, networks).go()
