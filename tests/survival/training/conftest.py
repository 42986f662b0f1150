"""Fixtures: a small cohort of real tissue in which the hazard is visible."""

import numpy as np
import openslide
import pytest
from PIL import Image

from survival.cohort import Cohort, split_by_patient

SLIDE = "tests/fixtures/slides/CMU-1-Small-Region.svs"


@pytest.fixture(scope="session")
def tissue(request, tmp_path_factory):
    """Return a cohort of 48 patients, and a folder of images, 40×32 pixels of a real slide."""
    folder = tmp_path_factory.mktemp("images")
    with openslide.OpenSlide(str(request.config.rootpath / SLIDE)) as slide:
        whole = np.asarray(slide.get_thumbnail((555, 742)).convert("RGB"))
    random = np.random.default_rng(0)
    tissue = []
    while len(tissue) < 48:
        top, left = random.integers(0, [whole.shape[0] - 32, whole.shape[1] - 40])
        image = whole[top : top + 32, left : left + 40]
        if image.mean() < 235:  # not only background
            tissue.append(image)
    darkness = np.array([-image.mean() for image in tissue])
    hazard = np.exp(3 * (darkness - darkness.mean()) / darkness.std())
    time, censored = random.exponential(20 / hazard), random.uniform(1, 40, size=48)
    # The first twelve patients have a second slide.
    images = [*tissue, *(image[:, ::-1] for image in tissue[:12])]
    names = [f"patient{i % 48:02d}_{i}.svs" for i in range(60)]
    for name, image in zip(names, images, strict=True):
        Image.fromarray(image).save(folder / name.replace("svs", "png"))
    row = np.arange(60) % 48
    cohort = Cohort(
        np.array(names),
        np.array([f"patient{i:02d}" for i in row]),
        np.minimum(time, censored)[row].round(2),
        (time <= censored)[row],
        np.where(row % 2, "A", "B"),
    )
    return split_by_patient(cohort, validation=0.25, test=0.25, seed=0), folder
