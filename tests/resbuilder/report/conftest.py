"""Run folders like those of a search, made without training."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from resbuilder.architecture import Block, minimal_architecture
from resbuilder.config import SearchConfig
from resbuilder.costs import cost

VARIANTS = ("with_reg", "no_reg_wi", "no_reg_ri")
CLASS_NAMES = ["T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker",
               "Bag", "Ankle boot"]  # fmt: skip


class Run:
    """Writes config, environment and journal of an invented search to a folder."""

    def __init__(self, folder, budget=5_000_000, class_names=CLASS_NAMES, **config):
        self.folder, self.class_names = folder, list(class_names)
        self.budget = budget
        self.random = np.random.default_rng(7)
        self.time = datetime(2024, 5, 1, 12, tzinfo=UTC)
        self.events, self.architectures, self.scores = [], [], []
        self.blocks = 0
        folder.mkdir(parents=True)
        settings = SearchConfig(
            dataset="fashion_mnist", flops=budget, epochs=3, rounds=3, insertions=2, **config
        ).to_json()
        (folder / "config.json").write_text(json.dumps({"format": 1, "kind": "search", **settings}))
        environment = {
            "command": "resbuilder search --dataset fashion_mnist", "python": "3.11.9",
            "packages": {"keras": "3.15.1"}, "accelerators": [], "cores": 2, "commit": None,
        }  # fmt: skip
        (folder / "environment.json").write_text(json.dumps(environment))

    def event(self, kind, **content):
        """Append an event and write the journal, so that a run can stop after any event."""
        n = len(self.events)
        self.time += timedelta(seconds=11)
        event = {"n": n, "time": self.time.isoformat(), "event": kind, "key": f"{kind}-{n}"}
        self.events.append(event | content)
        text = "".join(json.dumps(e) + "\n" for e in self.events)
        (self.folder / "journal.jsonl").write_text(text)

    def add(self, architecture, origin, round=0, parent=None, inserted=(), removed=(), where=None):
        """Record an architecture with its real cost; return its index."""
        index, c = len(self.architectures), cost(architecture)
        self.architectures.append(architecture)
        self.event(
            "architecture", index=index, round=round, origin=origin, parent=parent,
            inserted=list(inserted), removed=list(removed), position=where,
            architecture=architecture.to_json(), flops=c.flops, parameters=c.parameters,
            activations=c.activations, depth=architecture.depth,
        )  # fmt: skip
        return index

    def train(self, index, base, epochs=3):
        """Record the three trainings of an architecture, with accuracies around ``base``."""
        for variant, bonus in zip(VARIANTS, (-0.012, 0.01, 0.0), strict=True):
            top = min(0.99, base + bonus + float(self.random.normal(0, 0.004)))
            curve = [top - 0.15 * 0.4**e for e in range(epochs - 1)] + [top]
            self.event(
                "training", index=index, variant=variant, epochs=epochs, seconds=9.5, finite=True,
                history={
                    "accuracy": [a - 0.01 for a in curve], "val_accuracy": curve,
                    "loss": [2 * (1 - a) + 0.05 for a in curve],
                    "val_loss": [2 * (1 - a) for a in curve],
                },
                validation={"accuracy": top, "loss": 2 * (1 - top)},
                test={"accuracy": top - 0.006, "loss": 2 * (1 - top) + 0.01},
            )  # fmt: skip
            self.scores.append((top, index, variant))

    def insert(self, parent, stage, round):
        """Insert a block at the end of a stage; return the index of the new architecture."""
        a = self.architectures[parent]
        name = f"i{self.blocks}"
        self.blocks += 1
        old = a.stages[stage]
        blocks = (*old.blocks, Block(old.width, name=name))
        stages = (*a.stages[:stage], replace(old, blocks=blocks), *a.stages[stage + 1 :])
        where = {"stage": stage, "position": len(old.blocks)}
        new = replace(a, stages=stages)
        return self.add(new, "insertion", round, parent, inserted=[name], where=where)

    def judge(self, index, round, remove=(), momentum=False):
        """Record a decision of LayerLasso, and the architecture without the removed blocks."""
        a = self.architectures[index]
        names = [b.name for b in a.blocks]
        low = set(remove) | (set(names[:1]) if momentum else set())
        positions = {
            block.name: {"stage": s, "position": p, "relative": (s + (p + 1) / 5) / len(a.stages)}
            for s, stage in enumerate(a.stages)
            for p, block in enumerate(stage.blocks)
        }
        values = {
            n: 4e-4 if n in low else float(10 ** self.random.uniform(-2.8, -1.5)) for n in names
        }
        self.event(
            "removal", index=index, values=values, positions=positions, threshold=1e-3,
            gain=0.021 if momentum else 0.002, kept_by_momentum=momentum, removed=list(remove),
        )  # fmt: skip
        if not remove:
            return index
        stages = tuple(
            replace(s, blocks=tuple(b for b in s.blocks if b.name not in remove)) for s in a.stages
        )
        new = self.add(replace(a, stages=stages), "removal", round, index, removed=remove)
        accuracy = {"accuracy": 0.83, "loss": 0.4}
        self.event("evaluation", index=new, validation=accuracy, test=accuracy)
        return new

    def morphnet(self, index, round, factor):
        """Record a MorphNet step: inner widths times a factor, all scaled down to the budget."""
        a = self.architectures[index]
        before = {c.name: c.out_channels for c in a.convolutions()}
        scale = 2.0
        while True:
            after = {
                n: max(2, int(w * scale * (factor if n.endswith("conv1") else 1)))
                for n, w in before.items()
            }
            if cost(a.with_widths(after)).flops <= self.budget:
                break
            scale *= 0.97
        shrunk = {n: max(1, int(0.6 * w)) for n, w in after.items()}
        new = a.with_widths(after)
        costs = [cost(x).flops for x in (a, a.with_widths(shrunk), new)]
        self.event(
            "morphnet", round=round, index=index, alive=shrunk, widths_before=before,
            dead=None, widths_shrunk=shrunk, widths_after=after, flops_before=costs[0],
            flops_shrunk=costs[1], flops_after=costs[2], kappa=1.66, removed_blocks=[],
            channels={}, result=new.to_json(),
        )  # fmt: skip
        return self.add(new, "morphnet", round + 1, index)

    def finish(self, reason="all rounds are done"):
        """Record the end, with the best network and its confusion matrix."""
        flops = [cost(a).flops for a in self.architectures]

        def best(allowed):
            accuracy, index, variant = max(allowed)
            return {
                "index": index, "variant": variant, "accuracy_validation": accuracy,
                "accuracy_test": accuracy - 0.006,
            }  # fmt: skip

        scores = [s for s in self.scores if s[2] != "with_reg"]
        within = [s for s in scores if flops[s[1]] <= self.budget]
        k = len(self.class_names)
        matrix = np.diag(self.random.integers(75, 98, k))
        for true in range(k):
            other = int(self.random.integers(k - 1))
            matrix[true, other + (other >= true)] += 100 - matrix[true, true]
        self.event(
            "finished", reason=reason, seconds=1234.5, best=best(within),
            best_any_size=best(scores), confusion=matrix.tolist(),
            class_names=self.class_names,
        )  # fmt: skip


@pytest.fixture
def start_run(tmp_path):
    """Return a function that makes a run with only a start network, to be extended by a test."""

    def make(name="run", **settings):
        run = Run(tmp_path / name, **settings)
        run.add(minimal_architecture((28, 28, 1), len(run.class_names), width=16), "start")
        return run

    return make


@pytest.fixture
def search_run(start_run):
    """Return a function that makes a run of three rounds with all kinds of decisions."""

    def make(name="run", finish=True, **settings):
        run = start_run(name, **settings)
        run.train(0, 0.80)
        last = 0
        for round, (gain, stages) in enumerate([(0.82, (1, 2, 1)), (0.86, (0, 2)), (0.88, (1, 2))]):
            for step, stage in enumerate(stages):
                new = run.insert(last, stage, round)
                run.train(new, gain + 0.012 * step)
                names = [b.name for b in run.architectures[new].blocks]
                gone = names[1:2] if step == 1 and round != 1 else ()
                last = run.judge(new, round, gone, momentum=step == 1 and round == 1)
            last = run.morphnet(last, round, (1.3, 0.6, 0.8)[round])
            run.train(last, gain + 0.02)
        if finish:
            run.finish()
        return run

    return make
