"""How large a cohort is, how many events it has, how long it was followed (thesis Table 7.1)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sksurv.nonparametric import kaplan_meier_estimator

from survival.cohort.checks import SPLITS
from survival.cohort.manifest import Cohort


def summarize(cohort: Cohort) -> pd.DataFrame:
    """The rows of thesis Table 7.1: every dataset, its splits, and all of them together.

    Args:
        cohort: Split or not.

    Returns:
        Columns ``dataset`` and ``split`` (``"all"`` for all together), ``slides``, ``patients``,
        ``events`` (patients with one), ``event_rate`` (events per patient), ``enter_late``
        (patients with an entry above 0) and ``median_follow_up`` (see :func:`median_follow_up`),
        which counts from the entry.
    """
    everything = np.ones(len(cohort), bool)
    datasets = {name: cohort.dataset == name for name in sorted(set(cohort.dataset))}
    splits = {name: cohort.split == name for name in SPLITS if name in cohort.split}
    if len(datasets) > 1:
        datasets |= {"all": everything}
    rows = [
        {"dataset": dataset, "split": split} | _sizes(cohort.select(in_dataset & in_split))
        for dataset, in_dataset in datasets.items()
        for split, in_split in (splits | {"all": everything}).items()
        if (in_dataset & in_split).any()
    ]
    return pd.DataFrame(rows)


def without_events(cohort: Cohort) -> list[str]:
    """Datasets, and splits of them, that cannot be judged by themselves, one line each.

    Args:
        cohort: Split or not.
    """
    table = summarize(cohort)
    return [
        f"{f'split {row.split!r} of ' if row.split != 'all' else ''}dataset {row.dataset!r} has no "
        f"event ({row.patients} patient{'' if row.patients == 1 else 's'})"
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
    """Median follow-up by the reverse Kaplan–Meier estimator (Schemper & Smith 1996).

    Who had the event might have been followed further: the roles of event and censoring are
    exchanged, and the median of the time to censoring is taken.

    Args:
        time: Follow-up, one per patient, shape (n,). Of those who enter late, since their entry:
            how they would have been censored before is not known.
        event: Whether the event was seen, shape (n,).

    Returns:
        The first time at which at most half would not have been censored, in the unit of
        ``time``; NaN if it is never reached.
    """
    times, probability = kaplan_meier_estimator(
        np.asarray(event, bool), np.asarray(time, float), reverse=True
    )
    # A half that rounding errors have left a little above one.
    reached = times[probability <= 0.5 + 1e-12]
    return float(reached[0]) if len(reached) else float("nan")
