"""What becomes of a patient: hazard from morphology, event times, real censoring."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sksurv.nonparametric import kaplan_meier_estimator

from experiments.survival.morphology import Latent
from survival.cohort import read_clinical

PATIENTS = Path("cohort", "tcga_skcm_cbioportal_patient.txt")
# Log hazard ratio of a step of one of what can be seen, and of what nobody sees. Ordering patients
# by the former gives a C-index of about 0.83.
WEIGHTS = {"burden": 1.5, "dispersal": 0.9, "ulceration": 0.7}
FRAILTY = 0.4
SHAPE = 1.2  # of the Weibull distribution: the hazard rises a little with time


@dataclass(frozen=True)
class Centre:
    """The follow-up of a scanner's patients.

    Args:
        event_rate: Share of the patients whose event is seen.
        closing: Months after which nobody is followed any longer.
    """

    event_rate: float
    closing: float


CENTRES = {"A": Centre(event_rate=0.30, closing=np.inf), "B": Centre(event_rate=0.20, closing=72.0)}


@dataclass(frozen=True)
class Outcome:
    """Follow-up of one patient.

    Args:
        time: Months until event or censoring.
        event: Whether the event was seen.
        log_hazard: The part of the log hazard that can be seen; higher means an earlier event.
        frailty: The part that cannot.
    """

    time: float
    event: bool
    log_hazard: float
    frailty: float


def log_hazard(latent: Latent) -> float:
    """Log hazard of what can be seen, 0 for the average patient."""
    return sum(weight * getattr(latent, name) for name, weight in WEIGHTS.items())


class Censoring:
    """How long patients with melanoma were really followed: TCGA-SKCM, overall survival.

    The distribution of the times of censoring is estimated by Kaplan and Meier's method with the
    roles of event and censoring exchanged; what is left at the longest time lies there.

    Args:
        shared: Folder of shared data.

    Raises:
        ValueError: The file of follow-up is not there.
    """

    def __init__(self, shared: Path | None):
        path = None if shared is None else Path(shared, PATIENTS)
        if path is None or not path.exists():
            raise ValueError(
                f"censoring times are drawn from the follow-up of TCGA-SKCM, and there is no "
                f"{PATIENTS} in {shared}: give the folder of shared data, or download "
                "data_clinical_patient.txt of cBioPortal's study skcm_tcga_pan_can_atlas_2018, "
                f"save it as SHARED/{PATIENTS}, and give SHARED"
            )
        table = read_clinical(path, ("OS",)).table
        event = table["OS_event"].to_numpy(bool)
        self.times, self.followed = kaplan_meier_estimator(
            event, table["OS_time"].to_numpy(float), reverse=True
        )

    def quantile(self, share):
        """Months until which a share of the patients would have been censored.

        Args:
            share: In [0, 1), a number or an array.
        """
        reached = np.searchsorted(-self.followed, np.subtract(share, 1), side="left")
        return self.times[np.minimum(reached, len(self.times) - 1)]


@dataclass(frozen=True)
class Fate:
    """What is drawn for a patient, whatever becomes of the others.

    Args:
        latent: The patient's tumour.
        frailty: The part of the log hazard that cannot be seen.
        exponential: The event comes when the cumulative hazard reaches this.
        censored: Share of the patients who are censored before this one.
    """

    latent: Latent
    frailty: float
    exponential: float
    censored: float


def draw_fate(rng: np.random.Generator) -> Fate:
    """Tumour and luck of a patient."""
    latent = Latent(*map(float, _within_two(rng, 3)))
    return Fate(latent, FRAILTY * rng.standard_normal(), rng.exponential(), rng.random())


def outcomes(fates: list[Fate], centre: Centre, censoring: Censoring) -> list[Outcome]:
    """What becomes of the patients of a centre.

    An event comes at time T with P(T > t) = exp(−(t / scale)^shape · e^h), where h is the log
    hazard with frailty: proportional hazards. The scale is the one at which the share of these
    patients whose event comes before their censoring is the centre's.

    Args:
        fates: Of the patients.
        centre: Their centre.
        censoring: Times of censoring.

    Returns:
        An outcome for each.
    """
    seen = np.array([log_hazard(fate.latent) for fate in fates])
    frailty, exponential, censored = np.array(
        [(fate.frailty, fate.exponential, fate.censored) for fate in fates]
    ).T
    end = np.minimum(censoring.quantile(censored), centre.closing)
    time = (exponential * np.exp(-seen - frailty)) ** (1 / SHAPE)  # in units of the scale
    # Sorted by the scale up to which the event is seen.
    limits = np.sort(end / time)[::-1]
    events = round(centre.event_rate * len(fates))
    time = time * limits[events - 1 : events + 1].mean()
    return [
        Outcome(round(float(min(t, e)), 2), bool(t <= e), float(h), float(f))
        for t, e, h, f in zip(time, end, seen, frailty, strict=True)
    ]


def _within_two(rng, shape) -> np.ndarray:
    """Normal numbers, drawn again where they lie outside ±2."""
    numbers = rng.standard_normal(shape)
    while (outside := np.abs(numbers) > 2).any():
        numbers[outside] = rng.standard_normal(outside.sum())
    return numbers
