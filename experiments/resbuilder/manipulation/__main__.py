"""Section 6.2.4: detect manipulated photographs with EfficientNet, ResNet-18 and ResBuilder.

Thesis sec. 6.2.4 presents an industrial use case with private images. Here, a generator makes
manipulated photographs (splice, copy-move, inpainting, recompression of a region) from any folder
of photographs. Networks learn to tell them from authentic ones, on RGB alone and together with an
error-level analysis (RGB + ELA, 6 channels).

::

    python -m experiments.resbuilder.manipulation generate PHOTOGRAPHS OUT --size 128 --count 2000
    python -m experiments.resbuilder.manipulation measure --preset quick
    python -m experiments.resbuilder.manipulation measure --preset laptop
    python -m experiments.resbuilder.manipulation measure --preset thesis --photographs PHOTOGRAPHS

Without ``--photographs``, the images are crops of eight photographs from matplotlib, scikit-image
and scikit-learn; two of them are the test set. This shows that everything works, but does not
measure how well manipulations can be detected.

The laptop preset was measured on two virtual x86-64 cores, in about 45 minutes on one core, with
one seed. AUC on the test photographs with error levels: ResBuilder 0.706 as found (3,340
parameters, 36 epochs) and 0.653 trained from scratch for 12 epochs like the others; ResNet-18
0.671, EfficientNet-B4 0.629, EfficientNet-B0 0.580. Without error levels, all are at 0.51 to 0.54.

The thesis' numbers for this use case, its image size and its search settings are not available
here. The thesis preset uses the settings of the other searches of ch. 6 (ζ = 1e8, 20 epochs,
n_M = 7, n_Λ = 4).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from experiments.catalog import Experiment
from experiments.command import RUNS, Running, standard_options
from experiments.measuring import measure, publish, results_file, stored
from experiments.resbuilder.dataset_table import SHORT
from experiments.resbuilder.manipulation.compared import CHANNELS, NETWORKS
from resbuilder.common.cli import Commands

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
# λ_M·ζ is 10 as in the thesis; LayerLasso has the settings for short trainings, as in Table 6.1.
PRESETS = {
    "quick": {
        "size": 64,
        "pairs": {"train": 40, "test": 20},
        "seeds": 1,
        "training": {"epochs": 2, "batch_size": 16},
        "search": {
            "width": 8,
            "flops": 5e6,
            "rounds": 1,
            "insertions": 1,
            "lambda_morphnet": 2e-6,
        }
        | SHORT,
    },
    "laptop": {
        "size": 64,
        "pairs": {"train": 300, "test": 200},
        "seeds": 1,
        "training": {"epochs": 12, "batch_size": 32},
        "search": {
            "width": 12,
            "flops": 1.5e7,
            "rounds": 2,
            "insertions": 1,
            "lambda_morphnet": 7e-7,
        }
        | SHORT,
    },
    "thesis": {
        "size": 128,
        "pairs": {"train": 20_000, "test": 4_000},
        "seeds": 3,
        "training": {"epochs": 20, "batch_size": 128},
        "search": {"width": 64, "flops": 1e8, "rounds": 7, "insertions": 4},
    },
}


@click.group(cls=Commands, help=__doc__.splitlines()[0])
def main() -> None:
    """Make the images; train and evaluate the networks."""


@main.command("generate")
@click.argument("source", type=FOLDER)
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--size", default=128, show_default=True, help="Side of the images in pixels.")
@click.option(
    "--count",
    type=click.IntRange(2),
    default=1000,
    show_default=True,
    help="Total number of pairs, each of an authentic and a manipulated image.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the images."
)
def generate_command(source, out, size, count, seed):
    """Make authentic and manipulated images in OUT/images from the photographs in SOURCE."""
    from experiments.resbuilder.manipulation.contact_sheet import contact_sheet
    from experiments.resbuilder.manipulation.generate import IMAGES, generate
    from experiments.resbuilder.manipulation.photographs import TEST_SHARE, photographs_in

    test = max(1, round(TEST_SHARE * count))
    pairs = {"train": count - test, "test": test}
    with usage_errors():
        generate(photographs_in(source), out, size, pairs, seed)
    contact_sheet(out).savefig(out / "contact_sheet.png", dpi=110)
    click.echo(
        f"Images, for resbuilder --dataset: {out / IMAGES}. Masks, table and contact sheet: {out}"
    )


@main.command("measure")
@standard_options(
    "resbuilder",
    *PRESETS,
    seeds={name: chosen["seeds"] for name, chosen in PRESETS.items()},
    data_help="Folder of the generated images, created if missing.  "
    f"[default: {RUNS / 'resbuilder'}/manipulation_PRESET_images]",
)
@click.option(
    "--photographs",
    type=FOLDER,
    help="Folder of your own photographs.  [default: eight from installed packages]",
)
def measure_command(preset: str, running: Running, photographs: Path | None) -> None:
    """Make the images, train every network with and without error levels, and publish."""
    from experiments.resbuilder.manipulation.contact_sheet import contact_sheet
    from experiments.resbuilder.manipulation.generate import generate_missing
    from experiments.resbuilder.manipulation.networks import train_and_judge
    from experiments.resbuilder.manipulation.photographs import bundled_photographs, photographs_in

    if preset == "thesis" and photographs is None:
        raise click.UsageError(
            "--preset thesis makes 24,000 pairs, and the eight bundled photographs are too few for "
            "that; give a folder of photographs with --photographs"
        )
    folder = Path(running.data_dir or RUNS / "resbuilder" / f"manipulation_{preset}_images")
    chosen = PRESETS[preset]
    with usage_errors():
        sources = photographs_in(photographs) if photographs else bundled_photographs()
        for seed in range(running.at_most(chosen["seeds"])):
            made = folder / f"seed{seed}"
            generate_missing(sources, made, chosen["size"], chosen["pairs"], seed)
    jobs = network_jobs(preset, photographs and photographs.resolve().name)
    running = replace(running, data_dir=str(folder))
    path = measure("resbuilder/manipulation", train_and_judge, jobs, preset, running)
    sheet = path.with_name("manipulation_images.png")
    contact_sheet(folder / "seed0").savefig(sheet, dpi=110)
    publish_from(path)


def publish_from(path: Path) -> None:
    """Write the table and the figure next to a results file."""
    from experiments.resbuilder.manipulation.results import draw, markdown

    results = stored(path)
    publish(path, draw(results), markdown(results))


def network_jobs(preset: str, photographs: str | None = None) -> dict[str, dict]:
    """Return the settings of the trainings and searches by name, the short ones first.

    Args:
        preset: A key of :data:`PRESETS`.
        photographs: Name of the folder of photographs; None for those of installed packages.
    """
    chosen = PRESETS[preset]
    jobs = {}
    for seed in range(chosen["seeds"]):
        for network in NETWORKS:
            for channels in CHANNELS:
                jobs[f"{network}_{channels}_seed{seed}"] = {
                    "network": network,
                    "channels": channels,
                    "seed": seed,
                    # Source of the images. Each seed has its own images and its own test part.
                    "photographs": photographs or "bundled",
                    "size": chosen["size"],
                    "pairs": chosen["pairs"],
                    "training": chosen["training"],
                } | ({"search": chosen["search"]} if network == "resbuilder" else {})
    return jobs


def expected_jobs(preset: str) -> dict[str, dict]:
    """Return the jobs of a preset, with the photographs of the committed results."""
    path = results_file("resbuilder/manipulation", preset)
    results = stored(path) if path.is_file() else []
    return network_jobs(preset, results[0]["job"]["photographs"] if results else None)


EXPERIMENTS = (
    Experiment(
        jobs={"resbuilder/manipulation": expected_jobs},
        publish_from=publish_from,
        times={
            "quick": "minutes on 2 cores",
            "laptop": "45 minutes on one core",
            "thesis": "needs a GPU and your own photographs",
        },
        arguments="measure",
    ),
)


@contextmanager
def usage_errors():
    """Turn errors that a user can fix into one line."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(str(error)) from error


if __name__ == "__main__":
    main()
