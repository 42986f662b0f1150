"""Size, events and follow-up of a cohort (thesis Table 7.1)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sksurv.nonparametric import kaplan_meier_estimator

from resbuilder.common.words import count
from survival.cohort.checks import SPLITS
from survival.cohort.manifest import Cohort


def summarize(cohort: Cohort) -> pd.DataFrame:
    """Return the rows of thesis Table 7.1: every dataset, its splits, and all together.

    Args:
        cohort: The cohort, split or not.

    Returns:
        Columns ``dataset`` and ``split`` (``"all"`` for all together), ``slides``, ``patients``,
        ``events`` (patients with an event), ``event_rate`` (fraction of the patients),
        ``enter_late`` (patients with an entry above 0) and ``median_follow_up``, which counts from
        the entry (see :func:`median_follow_up`).
    """
    everything = np.ones(len(cohort), bool)
    # A list, because a dataset may be called "all", too.
    datasets = [(name, cohort.dataset == name) for name in sorted(set(cohort.dataset))]
    splits = {name: cohort.split == name for name in SPLITS if name in cohort.split}
    if len(datasets) > 1:
        datasets.append(("all", everything))
    rows = [
        {"dataset": dataset, "split": split} | _sizes(cohort.select(in_dataset & in_split))
        for dataset, in_dataset in datasets
        for split, in_split in (splits | {"all": everything}).items()
        if (in_dataset & in_split).any()
    ]
    return pd.DataFrame(rows)


def without_events(cohort: Cohort) -> list[str]:
    """Return one line for each dataset, or split of one, that has no event.

    Such a part cannot be evaluated on its own.

    Args:
        cohort: The cohort, split or not.
    """
    table = summarize(cohort)
    return [
        f"{f'split {row.split!r} of ' if row.split != 'all' else ''}dataset {row.dataset!r} has no "
        f"event ({count(row.patients, 'patient')})"
        for row in table[table["events"] == 0].itertuples()
    ]


def _sizes(cohort: Cohort) -> dict:
    _, first = np.unique(cohort.patient.astype(str), return_index=True)
    time, event, entry = cohort.time[first], cohort.event[first], cohort.entry[first]
    return {
        "slides": len(cohort),
        "patients": len(first),
        "events": int(event.sum()),
        "event_rate": float(event.mean()),
        "enter_late": int((entry > 0).sum()),
        "median_follow_up": median_follow_up(time - entry, event),
    }


def median_follow_up(time: np.ndarray, event: np.ndarray) -> float:
    """Return the median follow-up by the reverse Kaplan–Meier estimator (Schemper & Smith 1996).

    Patients who had the event might have been followed longer. The roles of event and censoring
    are therefore exchanged: the result is the median time to censoring.

    Args:
        time: Follow-up, one per patient, shape (n,). For patients who enter late it counts from
            the entry, because censoring before the entry is unknown.
        event: Whether the event was observed, shape (n,).

    Returns:
        The first time at which the estimated fraction not yet censored is at most one half, in
        the unit of ``time``; NaN if it is never reached.
    """
    times, probability = kaplan_meier_estimator(
        np.asarray(event, bool), np.asarray(time, float), reverse=True
    )
    # The tolerance covers a probability of exactly 1/2 that rounding has pushed above it.
    reached = times[probability <= 0.5 + 1e-12]
    return float(reached[0]) if len(reached) else float("nan")
