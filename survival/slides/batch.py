"""Many slides: in processes of their own, here or on a cluster, resumable, every failure named."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from resbuilder.common.files import atomically, only_writer, remove_leftovers
from survival.slides.contact_sheet import write_contact_sheets
from survival.slides.listing import PROVENANCE, Job, list_jobs
from survival.slides.preprocess import file_state, preprocess_slide, read_provenance
from survival.slides.settings import CANVAS, Settings
from survival.slides.workers import run_isolated

MANIFEST = "manifest.csv"


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
    """Turn slides into images, ``manifest.csv`` and contact sheets to look at.

    Called again, it makes what is missing: images that are not whole or were made from another
    file, and slides that failed. Images made with other settings are replaced only if that is
    asked for. An image carries its provenance, so this holds however the run before ended.

    Args:
        source: Folders of slides and slides, or a CSV manifest: :func:`.listing.list_jobs`.
        out: Folder for the images (PNG), the manifest and the contact sheets.
        downsample: As in :func:`preprocess_slide`, and so the next four.
        canvas: Width and height of the images.
        mpp: Micrometres per image pixel, instead of ``downsample``.
        fit: Reduce slides further that are larger than the canvas.
        icc: Convert colours to sRGB where a slide has a profile.
        slide_mpp: As in :func:`preprocess_slide`, and so the next two.
        exact: Decode all JPEG tiles in full.
        hash: Hash the slides' whole files. Images without are made again.
        root: Folder that a manifest's paths are relative to, instead of its own.
        workers: Slides at the same time, each in a process of its own.
        timeout: Seconds without progress after which a slide is given up.
        overwrite: Whether images made with other settings are made again.
        ray: ``HOST:PORT`` of a Ray cluster whose nodes read the slides and write the images, under
            the same paths; or ``"local"`` for an embedded one with ``workers`` cores.
        progress: Called with slides finished (and parts of them) and their number.

    Returns:
        The manifest's rows: for each slide its columns of the input manifest, ``slide``,
        ``output`` (below ``out``; empty if it failed), ``status`` (ok or failed), ``reason``, and
        the provenance that :func:`preprocess_slide` lists.

    Raises:
        ValueError: Bad settings, a bad manifest, two slides with one name, an ``out`` that holds
            other things or images made with other settings, or to which another process writes,
            or no Ray; no image is written then.
        OSError: No room, or no permission, to write.
    """
    out = Path(out)
    if workers < 1 or timeout <= 0:
        raise ValueError(f"workers and timeout must be positive, not {workers} and {timeout}")
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
        _make_missing(
            partial(run, workers=workers, timeout=timeout), jobs, rows, out, options, progress
        )
        ordered = [rows[i] for i in range(len(jobs))]
        _write_manifest(out / MANIFEST, ordered)
        write_contact_sheets(ordered, out, threads)
    return ordered


def _make_missing(
    run: Callable[..., Generator[tuple[int, str, Any], None, None]],
    jobs: list[Job],
    rows: dict[int, dict],
    out: Path,
    options: dict,
    progress: Callable[[float, int], None],
) -> None:
    """Makes what has no row yet, and adds its row: of the image, or of the failure."""
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
        _tidy(jobs, out)  # of workers that were ended while they wrote


def _tidy(jobs: list[Job], out: Path) -> None:
    for folder in {(out / job.output).parent for job in jobs} | {out}:
        remove_leftovers(folder)


def _make(task: tuple[Job, Path, dict], progress: Callable[[int, int], None]) -> dict:
    """In a process of its own: make and write one image."""
    job, out, options = task
    target = out / job.output
    target.parent.mkdir(parents=True, exist_ok=True)
    image = preprocess_slide(job.source, **asdict(job.settings), **options, progress=progress)
    image.save(target)
    return image.provenance


def _finished(job: Job, out: Path, overwrite: bool, hash: bool) -> dict | None:
    """The provenance of a slide's image if it is there, whole, and what is wanted.

    With a hash of the slide's file, if that is wanted.

    Raises:
        ValueError: It was made with other settings, and is not to be overwritten.
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
            "give --overwrite to make such images again, or choose another folder"
        )
    try:
        state = file_state(job.source)
    except OSError:
        return None
    hashed = provenance.get("hash") or not hash
    return provenance if hashed and state.items() <= provenance.items() else None


def _other(settings: dict, than: dict) -> str:
    """What is different in one of two records of settings; what is not in it was not asked for."""
    names = [name for name in than | settings if than.get(name) != settings.get(name)]
    some = [f"{n} {str(settings[n]).removesuffix('.0')}" for n in names if n in settings]
    return f"with {', '.join(some)}" if some else f"without {', '.join(names)}"


def _row(job: Job, provenance: dict) -> dict:
    row = job.columns | {"slide": job.slide} | {name: provenance.get(name) for name in PROVENANCE}
    if row["content"] is None and "sha256" in provenance:
        # An image of before; the text is the one that stood for it then.
        row["content"] = f"sha256:{provenance['sha256']}:{provenance['bytes']}"
    settings = json.dumps(provenance["settings"])
    return row | {"output": job.output, "status": "ok", "reason": "", "settings": settings}


def _failure(job: Job, reason: str, out: Path) -> dict:
    # An image made before, with other settings or of another file, must not pass for this one.
    (out / job.output).unlink(missing_ok=True)
    row = job.columns | {"slide": job.slide} | dict.fromkeys(PROVENANCE)
    settings = json.dumps(job.settings.record())
    return row | {"status": "failed", "reason": " ".join(reason.split()), "settings": settings}


def _refuse_other_slides(out: Path, jobs: list[Job]) -> None:
    manifest = out / MANIFEST
    if not manifest.exists():
        return
    try:
        with open(manifest, encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = list(csv.DictReader(file))
    except csv.Error as error:
        raise ValueError(
            f"{manifest} is not a CSV file: {error}; delete it and run again, finished images are "
            "kept"
        ) from None
    # A slide that failed left nothing, so users who took it away need not be asked about it.
    known = {row.get("slide") or "" for row in rows if row.get("status") != "failed"}
    if others := sorted(known - {job.slide for job in jobs}):
        raise ValueError(
            f"{manifest} speaks of {len(others)} slide(s) that are not among these {len(jobs)}, "
            f"such as {others[0][:100] or 'one without a name'}: choose another folder, or delete "
            f"{manifest} and run again; finished images are kept"
        )


def _write_manifest(path: Path, rows: list[dict]) -> None:
    with atomically(path) as part:
        with open(part, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _threads(workers: int) -> int:
    """Threads for each of some worker processes, few enough for the memory of each."""
    return max(1, min(4, cpus() // workers))


def cpus() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
