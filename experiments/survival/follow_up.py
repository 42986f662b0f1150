"""The follow-up of patients: hazards from morphology, event times, and real censoring."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sksurv.nonparametric import kaplan_meier_estimator

from experiments.survival.morphology import Latent
from survival.cohort import read_clinical

PATIENTS = Path("cohort", "tcga_skcm_cbioportal_patient.txt")
# Log hazard ratio for one standard deviation of each visible feature, and of the invisible part.
# Ordering patients by the visible part gives a C-index of about 0.83.
WEIGHTS = {"burden": 1.5, "dispersal": 0.9, "ulceration": 0.7}
FRAILTY = 0.4
SHAPE = 1.2  # shape of the Weibull distribution: the hazard increases slightly with time


@dataclass(frozen=True)
class Center:
    """The follow-up of a scanner's patients.

    Args:
        event_rate: Share of the patients with an observed event.
        closing: Months after which follow-up ends.
    """

    event_rate: float
    closing: float


CENTERS = {"A": Center(event_rate=0.30, closing=np.inf), "B": Center(event_rate=0.20, closing=72.0)}


@dataclass(frozen=True)
class Outcome:
    """Follow-up of one patient.

    Args:
        time: Months until event or censoring.
        event: Whether the event was observed.
        log_hazard: The part of the log-hazard that is visible in slides; higher means an earlier
            event.
        frailty: The part that is not visible.
    """

    time: float
    event: bool
    log_hazard: float
    frailty: float


def log_hazard(latent: Latent) -> float:
    """Return the visible part of the log-hazard, 0 for the average patient."""
    return sum(weight * getattr(latent, name) for name, weight in WEIGHTS.items())


class Censoring:
    """Real censoring times of patients with melanoma: TCGA-SKCM, overall survival.

    The distribution of censoring times is estimated by the Kaplan–Meier method with the roles of
    event and censoring exchanged. The probability that remains at the longest time is put there.

    Args:
        shared: Folder of shared data.

    Raises:
        ValueError: If the file of follow-up is missing.
    """

    def __init__(self, shared: Path | None):
        path = None if shared is None else Path(shared, PATIENTS)
        if path is None or not path.exists():
            raise ValueError(
                f"{PATIENTS} is missing in {shared}; censoring times are drawn from this follow-up "
                "of TCGA-SKCM. Give the folder of shared data, or download "
                "data_clinical_patient.txt of cBioPortal's study skcm_tcga_pan_can_atlas_2018, "
                f"save it as SHARED/{PATIENTS}, and give SHARED"
            )
        table = read_clinical(path, ("OS",)).table
        event = table["OS_event"].to_numpy(bool)
        self.times, self.followed = kaplan_meier_estimator(
            event, table["OS_time"].to_numpy(float), reverse=True
        )

    def quantile(self, share):
        """Return the months after which a share of the patients would have been censored.

        Args:
            share: In [0, 1), a number or an array.
        """
        reached = np.searchsorted(-self.followed, np.subtract(share, 1), side="left")
        return self.times[np.minimum(reached, len(self.times) - 1)]


@dataclass(frozen=True)
class Fate:
    """The random numbers of a patient, independent of other patients.

    Args:
        latent: The patient's tumour.
        frailty: The part of the log-hazard that is not visible.
        exponential: The cumulative hazard at the event.
        censored: Share of the patients who are censored before this one.
    """

    latent: Latent
    frailty: float
    exponential: float
    censored: float


def draw_fate(rng: np.random.Generator) -> Fate:
    """Draw a patient's tumour, frailty, event and censoring."""
    latent = Latent(*map(float, _within_two(rng, 3)))
    return Fate(latent, FRAILTY * rng.standard_normal(), rng.exponential(), rng.random())


def outcomes(fates: list[Fate], center: Center, censoring: Censoring) -> list[Outcome]:
    """Return the outcomes of the patients of a center.

    The event time T has P(T > t) = exp(−(t / scale)^shape · e^h), where h is the log-hazard with
    frailty: proportional hazards. The scale is chosen such that the share of patients whose event
    precedes their censoring is the event rate of the center.

    Args:
        fates: Random numbers of the patients.
        center: Their center.
        censoring: Censoring times.

    Returns:
        One outcome for each patient.
    """
    seen = np.array([log_hazard(fate.latent) for fate in fates])
    frailty, exponential, censored = np.array(
        [(fate.frailty, fate.exponential, fate.censored) for fate in fates]
    ).T
    end = np.minimum(censoring.quantile(censored), center.closing)
    time = (exponential * np.exp(-seen - frailty)) ** (1 / SHAPE)  # in units of the scale
    # For each patient, the scale up to which the event is observed.
    limits = np.sort(end / time)[::-1]
    events = round(center.event_rate * len(fates))
    time = time * limits[events - 1 : events + 1].mean()
    return [
        Outcome(round(float(min(t, e)), 2), bool(t <= e), float(h), float(f))
        for t, e, h, f in zip(time, end, seen, frailty, strict=True)
    ]


def _within_two(rng, shape) -> np.ndarray:
    """Draw normal numbers, and draw those outside ±2 again."""
    numbers = rng.standard_normal(shape)
    while (outside := np.abs(numbers) > 2).any():
        numbers[outside] = rng.standard_normal(outside.sum())
    return numbers
