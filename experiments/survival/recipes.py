"""The contents of a cohort before any slide is made: patients, outcomes, recipes of slides."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from experiments.survival.follow_up import Censoring, Center, Fate, Outcome, draw_fate, outcomes
from experiments.survival.morphology import Latent
from experiments.survival.scanners import SCANNERS
from survival.cohort import Cohort

# Largest size of level 0 at 0.5 µm per pixel; that is 96×80 pixels at 1/16.
LARGEST = 1536, 1280
# Shares of the patients with one, two and three slides.
SLIDES = (0.85, 0.10, 0.05)
# Part of every recipe. Increase it when the same recipe gives another slide.
VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a slide.

    Args:
        slide: Path of the slide below the cohort's folder.
        patient: The patient.
        scanner: ``"A"`` or ``"B"``.
        seed: Seed of the cohort.
        latent: Visible features of the tumour.
        size: Width and height in pixels of 0.5 µm.
        pen: Whether it has pen marks.
        crops: Sources of tissue besides the repository's slide.
    """

    slide: str
    patient: str
    scanner: str
    seed: int
    latent: Latent
    size: tuple[int, int]
    pen: bool
    crops: tuple[str, ...]

    def text(self) -> str:
        """Return the recipe as stored in the slide's file."""
        return json.dumps({"version": VERSION} | asdict(self))


@dataclass(frozen=True)
class Patient:
    """A patient of one scanner.

    Args:
        name: Name such as ``"A0001"``.
        scanner: ``"A"`` or ``"B"``.
        seed: Seed of the cohort.
        fate: The tumour, and the patient's other random numbers.
        outcome: The follow-up.
        random: Random generator of the patient's slides.
    """

    name: str
    scanner: str
    seed: int
    fate: Fate
    outcome: Outcome
    random: np.random.Generator


def random_numbers(seed: int, name: str) -> np.random.Generator:
    """Return the random generator of a patient or slide, which depends on seed and name only."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def draw_patients(
    seed: int, scanner: str, count: int, center: Center, censoring: Censoring
) -> list[Patient]:
    """Draw the patients of a scanner and their outcomes.

    Args:
        seed: Seed of the cohort.
        scanner: ``"A"`` or ``"B"``.
        count: Number of patients.
        center: The center. Its ``event_rate`` times ``count``, rounded, is the number of events.
        censoring: Censoring times.

    Returns:
        The patients. A tumour depends only on the seed and the patient's name.
    """
    names = [f"{scanner}{number:04d}" for number in range(1, count + 1)]
    numbers = [random_numbers(seed, name) for name in names]
    fates = [draw_fate(rng) for rng in numbers]
    drawn = zip(names, fates, outcomes(fates, center, censoring), numbers, strict=True)
    return [Patient(name, scanner, seed, *rest) for name, *rest in drawn]


def draw_recipes(
    patient: Patient, crops: tuple[str, ...], slides: int | None = None
) -> Iterator[Recipe]:
    """Draw the recipes of a patient's slides.

    Args:
        patient: The patient.
        crops: Sources of tissue besides the repository's slide.
        slides: Number of slides; by default it is drawn, from one to three.

    Yields:
        A recipe for each slide.
    """
    rng, scanner = patient.random, patient.scanner
    if slides is None:
        slides = 1 + rng.choice(len(SLIDES), p=SLIDES)
    for number in range(1, 1 + slides):
        # Different sections show the same tumour slightly differently.
        shown = {
            kind: round(value + rng.normal(0, 0.15), 4)
            for kind, value in asdict(patient.fate.latent).items()
        }
        yield Recipe(
            slide=f"{scanner}/{patient.name}-{number}.tif",
            patient=patient.name,
            scanner=scanner,
            seed=patient.seed,
            latent=Latent(**shown),
            size=tuple(int(n - rng.integers(100)) for n in LARGEST),
            pen=bool(rng.random() < SCANNERS[scanner].pen),
            crops=crops,
        )


def manifest(rows: list[tuple[Recipe, Outcome]], coarser: int = 1) -> Cohort:
    """Return the cohort of these recipes and outcomes, before the split.

    Args:
        rows: Recipe and outcome of each slide.
        coarser: Factor on the downsampling of the preprocessing.
    """
    return Cohort.from_frame(
        pd.DataFrame(
            {
                "slide": recipe.slide,
                "patient": recipe.patient,
                "time": outcome.time,
                "event": int(outcome.event),
                "dataset": recipe.scanner,
                "downsample": coarser * SCANNERS[recipe.scanner].downsample,
            }
            for recipe, outcome in rows
        )
    )


def truth(rows: list[tuple[Recipe, Outcome]]) -> pd.DataFrame:
    """Return the hidden truth about every slide, which the manifest must not contain."""
    return pd.DataFrame(
        {
            "slide": recipe.slide,
            "patient": recipe.patient,
            "true_log_hazard": round(outcome.log_hazard, 4),
            "frailty": round(outcome.frailty, 4),
        }
        | asdict(recipe.latent)
        | {"pen": int(recipe.pen)}
        for recipe, outcome in rows
    )
