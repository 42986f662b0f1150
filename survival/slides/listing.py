"""List the slides to convert, with the settings and the output path of each."""

from __future__ import annotations

import math
import os
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from resbuilder.common.walking import unreadable, walk
from resbuilder.common.words import count
from survival.cohort.checks import as_number, is_missing
from survival.names import OF_SLIDES, find_files
from survival.slides.dicom import SUFFIX as DICOM
from survival.slides.dicom import series_of
from survival.slides.settings import Settings

# File name suffixes of the formats that OpenSlide reads.
SUFFIXES = (
    *(".svs", ".ndpi", ".mrxs", ".tif", ".tiff", ".scn", ".bif", ".svslide"),
    *(".vms", ".vmu", ".czi", DICOM),
)
# Suffixes of a manifest.
TABLES = (".csv", ".tsv", ".txt")
# Columns that are added to those of the input manifest.
PROVENANCE = (
    *("output", "status", "reason", "vendor", "slide_width", "slide_height", "level"),
    *("level_factor", "total_factor", "fit_factor", "filter", "output_mpp_x", "output_mpp_y"),
    *("icc", "width", "height", "left", "top", "content", "hash", "bytes", "modified", "notes"),
    *("openslide", "settings"),
)


@dataclass(frozen=True)
class Job:
    """A slide and the image to make from it.

    Args:
        slide: Name of the slide, as the user gave it.
        source: The slide's file.
        output: Path of the image below the output folder, with slashes.
        settings: Settings of the image.
        columns: The slide's row in the input manifest, without :data:`PROVENANCE`.
    """

    slide: str
    source: Path
    output: str
    settings: Settings
    columns: dict[str, str] = field(default_factory=dict)


def list_jobs(
    sources: Sequence[Path], settings: Settings, root: str | Path | None = None
) -> list[Job]:
    """List the slides of folders, of a CSV manifest, or single slides.

    A folder is searched with its sub-folders, and the images are written to the same sub-folders.
    The relative paths of a manifest are kept in the same way. For an absolute path, or one with
    "..", only the file name is kept, so that no image is written outside the output folder. The
    files of a DICOM series are one slide, named after the first of them.

    Args:
        sources: Slides and folders; or one CSV file (.csv, .tsv or .txt) with a column ``slide``
            and optionally ``downsample``, ``mpp`` or ``slide_mpp``, whose empty cells mean the
            default settings.
            A slide that is not found at its path is searched in the sub-folders, by its file name
            if that occurs only once.
        settings: Default settings.
        root: Folder to which the paths of a manifest are relative; None for the manifest's folder.

    Returns:
        One job per slide, sorted by name, or in the order of the manifest.

    Raises:
        ValueError: No slide is found, a slide does not exist, the manifest is invalid, or the
            images of two slides would have the same path.
    """
    manifests = [source for source in sources if source.suffix.lower() in TABLES]
    if manifests and not manifests[0].is_dir():
        if len(sources) > 1:
            raise ValueError(f"give either {manifests[0]} alone, or slides and folders")
        root = manifests[0].parent if root is None else Path(root)
        jobs = _found_below(root, list(_in_manifest(manifests[0], root, settings)))
    else:
        if root is not None:
            raise ValueError("root is only for a CSV manifest, but none is given")
        jobs = _one_for_each_series([job for one in sources for job in _in_source(one, settings)])
    if not jobs:
        places = _some([str(source) for source in sources])
        raise ValueError(f"no slides in {places}; expected files ending in {', '.join(SUFFIXES)}")
    _refuse_same_names(jobs)
    return jobs


def _in_source(source: Path, settings: Settings) -> Iterator[Job]:
    """Yield the slides of a folder, or the slide itself."""
    if source.is_dir():
        # A broken link in a folder is reported as a failed slide, not as an error.
        yield from _in_folder(source, settings)
    elif source.exists():
        yield Job(source.name, source, _output(PurePosixPath(source.name)), settings)
    else:
        raise ValueError(f"no such file or folder: {source}")


def _one_for_each_series(jobs: list[Job]) -> list[Job]:
    """Keep only the first DICOM file of each series in a folder."""
    seen, kept = set(), []
    for job in jobs:
        if job.source.suffix.lower() == DICOM and (series := series_of(job.source)):
            if (place := (job.source.parent.resolve(), series)) in seen:
                continue
            seen.add(place)
        kept.append(job)
    return kept


def _in_folder(folder: Path, settings: Settings) -> Iterator[Job]:
    found: list[Path] = []
    ignored: list[Path] = []
    for here, folders, names in walk(folder, onerror=unreadable):
        # A MIRAX slide keeps its data in a folder of its own name.
        folders[:] = [f for f in folders if f"{f}.mrxs" not in names and not f.startswith(".")]
        for name in (n for n in names if not n.startswith(".")):
            is_slide = name.lower().endswith(SUFFIXES)
            (found if is_slide else ignored).append(Path(here, name).relative_to(folder))
    if ignored:
        warnings.warn(
            f"ignored {count(len(ignored), 'file')} in {folder} without the name of a slide: "
            f"{_some([str(path) for path in sorted(ignored)])}",
            stacklevel=6,
        )
    for path in sorted(found):
        slide = PurePosixPath(path.as_posix())
        yield Job(str(slide), folder / path, _output(slide), settings)


def _in_manifest(manifest: Path, root: Path, settings: Settings) -> Iterator[Job]:
    from survival.cohort.spelling import decimal_points
    from survival.cohort.tables import read_slides

    table = decimal_points(read_slides(manifest, ("slide", *OF_SLIDES)), OF_SLIDES)
    if taken := [name for name in table if name in PROVENANCE]:
        warnings.warn(
            f"{manifest}: {count(len(taken), 'column')} not copied into the manifest of the "
            f"images, which has other content under this name: {_some(taken)}",
            stacklevel=5,
        )
        table = table.drop(columns=taken)
    first: dict[str, int] = {}
    for line, row in zip(table.index, table.to_dict("records"), strict=True):
        try:
            job = _from_row(root, row, settings)
        except ValueError as error:
            raise ValueError(f"{manifest}, line {line}: {error}") from None
        if (before := first.setdefault(job.slide, line)) != line:
            raise ValueError(
                f"{manifest}, line {line}: slide {job.slide} is already in line {before}; remove "
                "one of them"
            )
        yield job


def _from_row(root: Path, row: dict, settings: Settings) -> Job:
    slide = row["slide"]
    if not slide:
        raise ValueError("the cell of column 'slide' is empty")
    downsample, mpp = _number(row, "downsample"), _number(row, "mpp")
    if downsample is not None or mpp is not None:
        settings = replace(settings, downsample=downsample, mpp=mpp)
    if (slide_mpp := _number(row, "slide_mpp")) is not None:
        settings = replace(settings, slide_mpp=slide_mpp)
    path = PurePosixPath(Path(slide).as_posix())
    if path.is_absolute() or ".." in path.parts:
        path = PurePosixPath(path.name)
    return Job(slide, root / slide, _output(path), settings, row)


def _number(row: dict, name: str) -> float | None:
    text = row.get(name, "")
    if is_missing(text):
        return None
    if math.isnan(value := as_number(text)):
        raise ValueError(f"column {name!r} must have a number, not {text!r}")
    return value


def _output(slide: PurePosixPath) -> str:
    return str(slide.with_name(f"{slide.stem}.png"))


def _found_below(root: Path, jobs: list[Job]) -> list[Job]:
    """Return the jobs with the files of their slides, at their paths or in sub-folders."""
    missing = [job.slide for job in jobs if not os.path.exists(job.source)]
    if not missing:
        return jobs
    there = find_files([job.slide for job in jobs], root)
    if lost := [slide for slide in missing if slide not in there]:
        raise ValueError(
            f"{len(lost)} of {len(jobs)} slides were not found in {root} or its sub-folders: "
            f"{_some(lost)}"
        )
    return [replace(job, source=there[job.slide]) if job.slide in there else job for job in jobs]


def _refuse_same_names(jobs: list[Job]) -> None:
    owners: dict[str, Job] = {}
    for job in jobs:
        # Compare as file systems that ignore case or normalize Unicode do.
        key = unicodedata.normalize("NFC", job.output).casefold()
        if key in owners:
            pair = owners[key].slide, job.slide
            if os.path.realpath(owners[key].source) == os.path.realpath(job.source):
                raise ValueError(
                    f"{job.source} is given twice, as {' and '.join(dict.fromkeys(pair))}; remove "
                    "one of them"
                )
            if pair[0] == pair[1]:  # in different folders of the input
                pair = str(owners[key].source), str(job.source)
            raise ValueError(
                f"{pair[0]} and {pair[1]} would both be written to {job.output}; rename one, or "
                "put them into different sub-folders of one input folder"
            )
        owners[key] = job


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(name[:300] for name in names[:5]) + more
