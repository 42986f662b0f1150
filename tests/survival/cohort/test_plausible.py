"""Tables that can be read, but whose values are probably not what they should be."""

import warnings

import numpy as np
import pytest

from survival.cohort import Cohort, ManifestError
from survival.cohort.plausible import same_unit, unlike_units, warn_of_dates


def read(tmp_path, text, **options):
    path = tmp_path / "cohort.csv"
    path.write_text(text)
    return Cohort.read(path, **options)


def rows(times, column="time", more="", cells=""):
    """Return a table with a slide of its own for each patient and time."""
    lines = [f"s{i},p{i},{time},{i % 2}{cells}" for i, time in enumerate(times)]
    return "\n".join([f"slide,patient,{column},event{more}", *lines]) + "\n"


@pytest.mark.parametrize("code", ["NA", "n/a", "NaN", "#N/A", "NULL", "None", "-", "."])
@pytest.mark.parametrize("column", ["patient", "time", "event", "dataset"])
def test_codes_for_missing_values_are_missing(tmp_path, code, column):
    cells = {"slide": "a", "patient": "p", "time": "3", "event": "1", "dataset": "A"}
    good, bad = ",".join(cells.values()), ",".join((cells | {"slide": "b", column: code}).values())
    with pytest.raises(ManifestError) as raised:
        read(tmp_path, f"{','.join(cells)}\n{good}\n{bad}\n")
    assert raised.value.problems == (f"row 3: {column} is missing: {code!r}",)


def test_a_missing_event_is_not_censored_by_event_is(tmp_path):
    text = "slide,patient,time,event\na,p,3,dead\nb,q,4,NA\nc,r,5,lost\n"
    with (
        pytest.warns(UserWarning, match="taken as censored: 1 × 'lost'"),
        pytest.raises(ManifestError, match="row 3: event is missing: 'NA'"),
    ):
        read(tmp_path, text, event_is="dead")


def test_codes_in_other_columns_are_kept(tmp_path):
    text = "slide,patient,time,event,stage\na,p,3,1,NA\n"
    assert read(tmp_path, text).further["stage"].tolist() == ["NA"]


@pytest.mark.parametrize(
    ("time", "event"), [("time", "pfs_event"), ("pfs_time", "event"), ("os_time", "pfs_event")]
)
def test_time_and_event_of_two_endpoints_are_refused(tmp_path, time, event):
    header = "slide,patient,time,event,pfs_time,pfs_event,os_time,os_event"
    text = f"{header}\na,p,30,1,20,1,30,1\nb,q,31,0,21,0,31,0\n"
    with pytest.raises(ManifestError, match=f"'{time}' and '{event}' belong to two endpoints"):
        read(tmp_path, text, time=time, event=event)
    for prefix in ("", "pfs_", "os_"):
        read(tmp_path, text, time=f"{prefix}time", event=f"{prefix}event")
    # An event that has no time of its own may use another one.
    read(tmp_path, text.replace("pfs_time", "age"), event="pfs_event")


def test_points_that_may_separate_thousands_are_noticed_with_every_delimiter(tmp_path):
    text = rows(["365", "1.234", "730"])
    for delimiter in (",", ";", "\t"):
        with pytest.warns(UserWarning, match="1.234 is read as a decimal number, although 365"):
            read(tmp_path, text.replace(",", delimiter))


@pytest.mark.parametrize(
    ("times", "what"),
    [((2019, 2020, 2021), "years"), ((43962, 43870, 44012), "dates of a spreadsheet")],
)
def test_dates_that_are_numbers_are_noticed(tmp_path, times, what):
    with pytest.warns(UserWarning, match=f"as if they were {what}"):
        read(tmp_path, rows(times))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(tmp_path, rows((*times, 12)))
        warn_of_dates([2019.5, 2020])
        warn_of_dates([])


def test_datasets_with_times_in_two_units_are_noticed(tmp_path):
    months = np.arange(20.0, 32)
    days = np.where(np.arange(12) < 6, 1, 30.4) * months
    text = rows(days, more=",dataset").splitlines()
    text = [text[0], *(f"{line},{'AB'[i // 6]}" for i, line in enumerate(text[1:]))]
    with pytest.warns(UserWarning, match="median follow-up is 866.4 for dataset 'B', but 22.5 for"):
        read(tmp_path, "\n".join(text) + "\n")


def test_only_typical_times_of_several_groups_are_compared():
    long, short = np.full(5, 66.0), np.full(5, 10.0)
    assert unlike_units({"a": long, "b": short})
    assert not unlike_units({"a": long - 2, "b": short})  # six times as long
    assert not unlike_units({"a": long, "b": short[:4]})  # too few
    assert not unlike_units({"a": long, "b": 0 * short})
    assert not unlike_units({"a": long})


def test_units_are_compared_regardless_of_case():
    assert same_unit("Months", "months") and same_unit(None, None)
    assert not same_unit("days", "months") and not same_unit(None, "months")
