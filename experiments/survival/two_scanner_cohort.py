"""The cohort of two scanners: which patients and slides it has, and how the slides are made.

The slides are composed of real tissue (:mod:`.tissue`), the hazard depends on what they show
(:mod:`.morphology`, :mod:`.follow_up`), the censoring is that of real patients. The thesis' cohorts
are private; this one is larger, and :mod:`.thesis_cohort` has the sizes of its Table 7.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.survival.follow_up import CENTRES, Censoring, Outcome
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
    """Makes the slides that are missing, and the table of the cohort.

    A slide depends on the seed and its name alone: not on the order, the workers, or how many
    patients there are (their follow-up does, because the share of events is given). Called again
    after an interruption, it makes what is missing or cut off.

    Args:
        folder: Gets the slides in ``A`` and ``B``; ``cohort.csv``, a manifest for ``survival
            preprocess`` and ``Cohort.read``; and ``truth.csv``, of every slide what the manifest
            must not say: ``true_log_hazard`` (of the patient, what can be seen of it; higher means
            an earlier event), ``frailty`` (what cannot), the slide's own ``burden``,
            ``dispersal``, ``ulceration``, and ``pen``.
        shared: Folder of shared data: the real follow-up, and crops of tissue.
        seed: Another seed, other patients.
        patients_a: Number of patients of scanner A.
        patients_b: Of scanner B.
        workers: Processes, one core and up to 500 MB each.
        progress: Called with slides that are there and slides in all.

    Returns:
        The cohort, split by patient.

    Raises:
        ValueError: The follow-up is not there, or patients are too few to have events in every
            split (10 of scanner A and 13 of B are enough).
    """
    if min(patients_a, patients_b, workers) < 1:
        raise ValueError(
            f"patients and workers must be positive, not {patients_a} and {patients_b} patients "
            f"with {workers} workers"
        )
    # What is refused, is refused before anything is made.
    cohort, rows = draw_two_scanners(seed, shared, patients_a, patients_b)
    make_slides(Path(folder), cohort, rows, shared, workers, progress)
    return cohort


def draw_two_scanners(
    seed: int, shared: Path | None, patients_a: int = 600, patients_b: int = 300
) -> tuple[Cohort, list[tuple[Recipe, Outcome]]]:
    """Draw the cohort of :func:`make_cohort` without making any slide.

    Args:
        seed: Another seed, other patients.
        shared: Folder of shared data.
        patients_a: Number of patients of scanner A.
        patients_b: Of scanner B.

    Returns:
        The cohort, split by patient; and the recipe and outcome of each of its slides.

    Raises:
        ValueError: As :func:`make_cohort`.
    """
    censoring, crops = Censoring(shared), tuple(crops_there(shared))
    rows = [
        (recipe, patient.outcome)
        for scanner, count in {"A": patients_a, "B": patients_b}.items()
        for patient in draw_patients(seed, scanner, count, CENTRES[scanner], censoring)
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
    """Make the slides that are missing, and the tables of a cohort.

    Args:
        folder: Gets what :func:`make_cohort` describes.
        cohort: The cohort, split.
        rows: Recipe and outcome of each of its slides.
        shared: Folder of shared data.
        workers: Processes, one core and up to 500 MB each.
        progress: Called with slides that are there and slides in all.
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
