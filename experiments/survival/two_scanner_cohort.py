"""The cohort of two scanners: its patients and slides, and how the slides are made.

The slides are composed of real tissue (:mod:`.tissue`). The hazard depends on visible features
(:mod:`.morphology`, :mod:`.follow_up`), and the censoring is that of real patients. The cohorts of
the thesis are private. This one is larger; :mod:`.thesis_cohort` has the sizes of Table 7.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.survival.follow_up import CENTERS, Censoring, Outcome
from experiments.survival.morphology import paint
from experiments.survival.recipes import (
    Recipe,
    draw_patients,
    draw_recipes,
    manifest,
    random_numbers,
    truth,
)
from experiments.survival.scanners import SCANNERS, scan
from experiments.survival.slides import is_whole, write_slide
from experiments.survival.tissue import crops_there, make_textures
from resbuilder.common.files import atomically, remove_leftovers
from survival.cohort import Cohort, split_by_patient

COHORT, TRUTH = "cohort.csv", "truth.csv"
VALIDATION, TEST = 0.15, 0.25


def make_cohort(
    folder: Path,
    shared: Path | None,
    seed: int = 0,
    patients_a: int = 600,
    patients_b: int = 300,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Cohort:
    """Make the missing slides, and the tables of the cohort.

    A slide depends only on the seed and its name, not on the order, the workers, or the number of
    patients. (The follow-up does depend on that number, because the share of events is given.)
    After an interruption, another call makes the slides that are missing or truncated.

    Args:
        folder: Folder for the slides in ``A`` and ``B``; for ``cohort.csv``, a manifest for
            ``survival preprocess`` and ``Cohort.read``; and for ``truth.csv``, the hidden truth
            about every slide: ``true_log_hazard`` (the visible part, of the patient; higher means
            an earlier event), ``frailty`` (the invisible part), and the slide's ``burden``,
            ``dispersal``, ``ulceration`` and ``pen``.
        shared: Folder of shared data: the real follow-up, and crops of tissue.
        seed: Seed; another one gives other patients.
        patients_a: Number of patients of scanner A.
        patients_b: Number of patients of scanner B.
        workers: Number of processes, each with one core and up to 500 MB of memory.
        progress: Called with the numbers of finished and of all slides.

    Returns:
        The cohort, split by patient.

    Raises:
        ValueError: If the follow-up is missing, or if there are too few patients for events in
            every split (10 of scanner A and 13 of B are enough).
    """
    if min(patients_a, patients_b, workers) < 1:
        raise ValueError(
            f"numbers of patients and workers must be positive; got {patients_a} and {patients_b} "
            f"patients and {workers} workers"
        )
    # Invalid arguments are rejected before anything is made.
    cohort, rows = draw_two_scanners(seed, shared, patients_a, patients_b)
    make_slides(Path(folder), cohort, rows, shared, workers, progress)
    return cohort


def draw_two_scanners(
    seed: int, shared: Path | None, patients_a: int = 600, patients_b: int = 300
) -> tuple[Cohort, list[tuple[Recipe, Outcome]]]:
    """Draw the cohort of :func:`make_cohort` without making any slide.

    Args:
        seed: Seed; another one gives other patients.
        shared: Folder of shared data.
        patients_a: Number of patients of scanner A.
        patients_b: Number of patients of scanner B.

    Returns:
        The cohort, split by patient; and the recipe and outcome of each of its slides.

    Raises:
        ValueError: As for :func:`make_cohort`.
    """
    censoring, crops = Censoring(shared), tuple(crops_there(shared))
    rows = [
        (recipe, patient.outcome)
        for scanner, count in {"A": patients_a, "B": patients_b}.items()
        for patient in draw_patients(seed, scanner, count, CENTERS[scanner], censoring)
        for recipe in draw_recipes(patient, crops)
    ]
    return split_by_patient(manifest(rows), VALIDATION, TEST, seed), rows


def make_slides(
    folder: Path,
    cohort: Cohort,
    rows: list[tuple[Recipe, Outcome]],
    shared: Path | None,
    workers: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Make the missing slides, and the tables of a cohort.

    Args:
        folder: Folder for the files that :func:`make_cohort` describes.
        cohort: The cohort with its splits.
        rows: Recipe and outcome of each of its slides.
        shared: Folder of shared data.
        workers: Number of processes, each with one core and up to 500 MB of memory.
        progress: Called with the numbers of finished and of all slides.
    """
    for scanner in SCANNERS:
        (folder / scanner).mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder / scanner)
    recipes = [recipe for recipe, _ in rows]
    missing = [r for r in recipes if not is_whole(folder / r.slide, r.text())]
    progress(len(recipes) - len(missing), len(recipes))
    for done, _ in enumerate(_make_all(folder, missing, shared, workers), start=1):
        progress(len(recipes) - len(missing) + done, len(recipes))
    with atomically(folder / TRUTH) as part:
        truth(rows).to_csv(part, index=False)
    cohort.write(folder / COHORT)


def _make_all(folder: Path, recipes: list[Recipe], shared, workers: int) -> Iterator[None]:
    if not recipes:
        return
    textures = make_textures(shared)
    if workers == 1:
        _start(textures)
        yield from (_make(folder, recipe) for recipe in recipes)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _start, (textures,)) as pool:
        futures = [pool.submit(_make, folder, recipe) for recipe in recipes]
        try:
            yield from (future.result() for future in as_completed(futures))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_textures: dict[str, Image.Image] = {}


def _start(textures: dict[str, np.ndarray]) -> None:
    _textures.clear()
    _textures.update({kind: Image.fromarray(texture) for kind, texture in textures.items()})


def _make(folder: Path, recipe: Recipe) -> None:
    rng, scanner = random_numbers(recipe.seed, recipe.slide), SCANNERS[recipe.scanner]
    picture = paint(recipe.latent, _textures, recipe.size, rng)
    picture = scan(picture, scanner, recipe.pen, rng)
    levels = scanner.level_factor, scanner.levels
    write_slide(folder / recipe.slide, picture, *levels, scanner.mpp, recipe.text())
