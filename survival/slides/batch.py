"""Many slides, each in a separate process: resumable, here or on a cluster, with all failures."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from resbuilder.common.files import atomically, only_writer, remove_leftovers
from resbuilder.common.words import count
from survival.checks import number, whole_number
from survival.names import MANIFEST
from survival.scale import differ, span
from survival.slides.contact_sheet import write_contact_sheets
from survival.slides.identity import TilesHash, content_of
from survival.slides.listing import PROVENANCE, Job, list_jobs
from survival.slides.preprocess import file_state, preprocess_slide, read_provenance
from survival.slides.reading import open_slide
from survival.slides.settings import CANVAS, Settings
from survival.slides.workers import run_isolated

# The time that the operating system can wait for a process, rounded down, in seconds.
LONGEST_TIMEOUT = 1e6


def preprocess_slides(
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    downsample: float | None = None,
    canvas: tuple[int, int] = CANVAS,
    *,
    mpp: float | None = None,
    fit: bool = False,
    icc: bool = False,
    slide_mpp: float | None = None,
    exact: bool = False,
    hash: bool = False,
    root: str | Path | None = None,
    workers: int = 1,
    timeout: float = 300,
    overwrite: bool = False,
    ray: str | None = None,
    progress: Callable[[float, int], None] = lambda done, total: None,
) -> list[dict]:
    """Convert slides to images, and write ``manifest.csv`` and contact sheets.

    A second call makes only what is missing: incomplete images, and slides that failed. Images made
    with other settings, or from another slide, are replaced only with ``overwrite``. Each image
    stores its provenance, so this works however the first call ended. The finished image of a slide
    that cannot be reached now is kept, with a note.

    Args:
        source: Slides and folders of slides, or a CSV manifest; see :func:`.listing.list_jobs`.
        out: Folder for the images (PNG), the manifest and the contact sheets.
        downsample: Level-0 pixels per image pixel; see :func:`preprocess_slide`.
        canvas: Width and height of the images in pixels.
        mpp: Micrometres per image pixel, instead of ``downsample``.
        fit: Whether slides larger than the canvas are reduced further.
        icc: Whether colors are converted to sRGB if a slide has a profile.
        slide_mpp: Micrometres per level-0 pixel, for slides that do not state it.
        exact: Whether all JPEG tiles are decoded at full size.
        hash: Whether to hash the slides' whole files. Images without a hash are made again.
        root: Folder to which a manifest's paths are relative; by default the manifest's folder.
        workers: Slides processed at the same time, each in a separate process.
        timeout: Seconds without progress after which a slide fails.
        overwrite: Whether images made with other settings, or from another slide, are made again.
        ray: ``HOST:PORT`` of a Ray cluster, whose nodes read the slides and write the images under
            the same paths; or ``"local"`` for an embedded Ray with ``workers`` cores.
        progress: Called with the number of finished slides (with fractions) and the total.

    Returns:
        The rows of the manifest. Each has the slide's columns of the input manifest, ``slide``,
        ``output`` (below ``out``; empty if the slide failed), ``status`` (ok or failed),
        ``reason``, and the provenance listed at :func:`preprocess_slide`.

    Raises:
        ValueError: Settings or the manifest are invalid; two slides have the same name; ``out``
            holds other files, or images made with other settings or from other slides, or is being
            written by another process; or Ray is missing. No image is written then.
        OSError: ``out`` cannot be written, because of missing space or permission.

    Warns:
        UserWarning: If the images have different scales in µm per pixel.
    """
    out = Path(out)
    workers = whole_number("workers", workers)
    seconds = f"a number of seconds, > 0 and <= {LONGEST_TIMEOUT:g}"
    timeout = number("timeout", timeout, seconds, lambda v: 0 < v <= LONGEST_TIMEOUT)
    sources = [source] if isinstance(source, (str, Path)) else source
    settings = Settings(downsample, mpp, canvas, fit, icc, slide_mpp, exact)
    jobs = list_jobs([Path(one) for one in sources], settings, root)
    _refuse_other_slides(out, jobs)
    rows: dict[int, dict] = {}
    for i, job in enumerate(jobs):
        if provenance := _finished(job, out, overwrite, hash):
            rows[i] = _row(job, provenance)
            progress(len(rows), len(jobs))
    threads = _threads(min(workers, len(jobs)))
    if ray is None:
        run = run_isolated
    else:
        from survival.slides.on_ray import run_on_ray

        run, threads = partial(run_on_ray, address=ray), 1
    progress(len(rows), len(jobs))
    options = {"threads": threads, "hash": hash}
    with only_writer(out):
        if len(rows) < len(jobs):
            # An interruption must not leave images of two settings that count as finished.
            so_far = [rows[i] if i in rows else _unfinished(job) for i, job in enumerate(jobs)]
            _write_manifest(out / MANIFEST, so_far)
        _make_missing(
            partial(run, workers=workers, timeout=timeout), jobs, rows, out, options, progress
        )
        ordered = [rows[i] for i in range(len(jobs))]
        _write_manifest(out / MANIFEST, ordered)
        write_contact_sheets(ordered, out, threads)
    made = [row["output_mpp_x"] for row in ordered if row["output_mpp_x"]]
    if differ(made):
        warnings.warn(
            f"the images have different scales, from {span(made)} µm per pixel, so a network sees "
            f"their tissue at different sizes (column output_mpp_x of {out / MANIFEST}); --mpp "
            "gives all images the same scale",
            stacklevel=2,
        )
    return ordered


def _make_missing(
    run: Callable[..., Generator[tuple[int, str, Any], None, None]],
    jobs: list[Job],
    rows: dict[int, dict],
    out: Path,
    options: dict,
    progress: Callable[[float, int], None],
) -> None:
    """Make the images that have no row yet, and add the rows of images and failures."""
    _tidy(jobs, out)
    missing = [i for i in range(len(jobs)) if i not in rows]
    parts: dict[int, float] = {}
    try:
        with contextlib.closing(run(_make, [(jobs[i], out, options) for i in missing])) as events:
            for k, kind, value in events:
                i = missing[k]
                if kind == "no room":
                    raise OSError(errno.ENOSPC, value, str(out))
                if kind == "progress":
                    parts[i] = value
                else:
                    parts.pop(i, None)
                    rows[i] = (
                        _row(jobs[i], value) if kind == "done" else _failure(jobs[i], value, out)
                    )
                progress(len(rows) + sum(parts.values()), len(jobs))
    finally:
        _tidy(jobs, out)  # removes what workers left that were ended while writing


def _tidy(jobs: list[Job], out: Path) -> None:
    for folder in {(out / job.output).parent for job in jobs} | {out}:
        remove_leftovers(folder)


def _make(task: tuple[Job, Path, dict], progress: Callable[[int, int], None]) -> dict:
    """Make and write one image; runs in a separate process."""
    job, out, options = task
    target = out / job.output
    target.parent.mkdir(parents=True, exist_ok=True)
    image = preprocess_slide(job.source, **asdict(job.settings), **options, progress=progress)
    image.save(target)
    return image.provenance


def _finished(job: Job, out: Path, overwrite: bool, hash: bool) -> dict | None:
    """Return the provenance of a slide's image if it is complete and up to date, else None.

    With ``hash``, an image without a hash of the slide's file is not up to date.

    Raises:
        ValueError: The image was made with other settings or from another slide, and ``overwrite``
            is false.
    """
    provenance = read_provenance(out / job.output)
    if provenance is None:
        return None
    before, now = provenance.get("settings") or {}, job.settings.record()
    if before != now:
        if overwrite:
            return None
        raise ValueError(
            f"{out / job.output} was made {_other(before, now)}, "
            f"not {_other(now, before).removeprefix('with ')}: "
            "give --overwrite to replace such images, or choose another folder"
        )
    try:
        state = file_state(job.source)
    except OSError as error:
        # On a drive that is not mounted, for example.
        note = f"its file cannot be read now ({error.strerror}), and the finished image is kept"
        return provenance | {"notes": "; ".join(filter(None, [provenance.get("notes"), note]))}
    if state.items() <= provenance.items():
        return provenance if provenance.get("hash") or not hash else None
    if not overwrite and _is_another(job.source, state, provenance):
        raise ValueError(
            f"{out / job.output} was made from another slide than {job.source} is now: give "
            "--overwrite to replace such images, or choose another folder"
        )
    return None


def _is_another(slide: Path, state: dict, provenance: dict) -> bool:
    """Return whether a file with a new size or time is another slide than an image was made from.

    False if it is damaged: then it fails with a reason.
    """
    content = provenance.get("content") or ""
    if not content.startswith("quickhash:"):
        return state["bytes"] != provenance.get("bytes")
    try:
        with open_slide(slide) as opened:
            return content_of(opened, state["bytes"], TilesHash()) != content
    except (OSError, ValueError):
        return False


def _other(settings: dict, than: dict) -> str:
    """Describe how one record of settings differs from another; absent settings were not given."""
    names = [name for name in than | settings if than.get(name) != settings.get(name)]
    given = [f"{n} {str(settings[n]).removesuffix('.0')}" for n in names if n in settings]
    return f"with {', '.join(given)}" if given else f"without {', '.join(names)}"


def _row(job: Job, provenance: dict) -> dict:
    row = job.columns | {"slide": job.slide} | {name: provenance.get(name) for name in PROVENANCE}
    if row["content"] is None and "sha256" in provenance:
        # An image of an earlier version, with the text that identified its slide then.
        row["content"] = f"sha256:{provenance['sha256']}:{provenance['bytes']}"
    settings = json.dumps(provenance["settings"])
    return row | {"output": job.output, "status": "ok", "reason": "", "settings": settings}


def _failure(job: Job, reason: str, out: Path) -> dict:
    # An older image, of other settings or another file, must not be mistaken for this slide's.
    if _finished(job, out, overwrite=True, hash=False) is None:
        (out / job.output).unlink(missing_ok=True)
    return _unfinished(job, " ".join(reason.split()))


def _unfinished(job: Job, reason: str = "interrupted: run `survival preprocess` again") -> dict:
    row = job.columns | {"slide": job.slide} | dict.fromkeys(PROVENANCE)
    settings = json.dumps(job.settings.record())
    return row | {"status": "failed", "reason": reason, "settings": settings}


def _refuse_other_slides(out: Path, jobs: list[Job]) -> None:
    manifest = out / MANIFEST
    if not manifest.exists():
        return
    try:
        with open(manifest, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except csv.Error as error:
        raise ValueError(
            f"{manifest} is not a CSV file: {error}; delete it and run the command again; finished "
            "images are kept"
        ) from None
    if not {"output", "status"} <= set(reader.fieldnames or ()):
        raise ValueError(
            f"{manifest} is not the list of images that this command writes under that name: "
            "choose another folder for the images"
        )
    # A slide that failed left no image, so it may have been removed from the input.
    known = {row.get("slide") or "" for row in rows if row.get("status") != "failed"}
    if others := sorted(known - {job.slide for job in jobs}):
        raise ValueError(
            f"{manifest} lists {count(len(others), 'slide')} not among these {len(jobs)}, such "
            f"as {others[0][:100] or 'one without a name'}: choose another folder, or delete "
            f"{manifest} and run the command again; finished images are kept"
        )


def _write_manifest(path: Path, rows: list[dict]) -> None:
    with atomically(path) as part:
        with open(part, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows({k: _rounded(v) for k, v in row.items()} for row in rows)


def _rounded(value: object) -> object:
    """Return six significant digits of a measure; the image's provenance has all of them."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _threads(workers: int) -> int:
    """Return the number of threads per worker process, few enough for its memory limit."""
    return max(1, min(4, cpus() // workers))


def cpus() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
