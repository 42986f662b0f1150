"""Many slides: names, manifests, resuming, crashes and hangs."""

import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import unicodedata
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest
from click.testing import CliRunner
from PIL import Image

from survival.cli.preprocess import preprocess
from survival.images import CanvasImages
from survival.names import find_files
from survival.slides import SlideImage, preprocess_slide, preprocess_slides
from survival.slides.on_ray import run_on_ray
from survival.slides.workers import MEMORY, run_isolated

needs_ray = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: pip install 'resbuilder[ray]'"
)
SMALL = {"downsample": 8, "canvas": (80, 60)}


@pytest.fixture
def folder(tmp_path, tissue, write_tiff) -> Path:
    """Return a folder of four small slides, two with the same name in different sub-folders."""
    path = tmp_path / "slides"
    (path / "b" / "c").mkdir(parents=True)
    for i, name in enumerate(("one.tif", "two.tif", "b/one.tif", "b/c/Präparat 3_切片.tiff")):
        write_tiff(path / name, [tissue[800 + 300 * i : 1100 + 300 * i, 900:1400]])
    return path


def by_slide(rows):
    return {row["slide"]: row for row in rows}


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_a_folder_becomes_images_a_manifest_and_a_contact_sheet(folder, tmp_path):
    out, seen = tmp_path / "out", []
    rows = preprocess_slides(
        folder, out, **SMALL, workers=2, progress=lambda *shares: seen.append(shares)
    )
    names = ["b/c/Präparat 3_切片", "b/one", "one", "two"]
    assert [row["output"] for row in rows] == [f"{name}.png" for name in names]
    for row in rows:
        assert (row["status"], row["reason"], row["vendor"]) == ("ok", "", "generic-tiff")
        image = np.asarray(Image.open(out / row["output"]))
        assert image.shape == (60, 80, 3) and image.min() < 128
    with open(out / "manifest.csv", encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["slide"] for row in written] == [row["slide"] for row in rows]
    assert [float(row["total_factor"]) for row in written] == [8] * 4
    assert json.loads(written[0]["settings"])["canvas"] == [80, 60]
    sheet = np.asarray(Image.open(out / "contact_sheet_1.jpg"))
    assert sheet.std() > 20
    # A canvas of 80×60 is enlarged to 220×165 on the contact sheet, with an outline.
    np.testing.assert_allclose(sheet[[11, 175], 100], 190, atol=30)
    assert sheet[8, 100].min() > 230
    assert seen[0] == (0, 4) and seen[-1] == (4, 4)


def test_columns_of_the_manifest_match_in_any_case(folder, tmp_path):
    """Otherwise every slide would be made at the command's factor, without a word."""
    text = "Slide, Downsample\none.tif,16\ntwo.tif,\n"
    (tmp_path / "slides.csv").write_text(text)
    rows = by_slide(
        preprocess_slides(tmp_path / "slides.csv", tmp_path / "out", root=folder, **SMALL)
    )
    assert [rows[name]["total_factor"] for name in ("one.tif", "two.tif")] == [16, 8]
    (tmp_path / "slides.csv").write_text(text.replace("Downsample", "downsampled"))
    with pytest.warns(UserWarning, match="'downsampled' is kept but not used; .*'downsample'"):
        preprocess_slides(tmp_path / "slides.csv", tmp_path / "out2", root=folder, **SMALL)


def test_resuming_replaces_missing_truncated_and_outdated_images(folder, tmp_path):
    out = tmp_path / "out"
    preprocess_slides(folder, out, **SMALL)
    before = files(out)
    times = {name: (out / name).stat().st_mtime_ns for name in before if name.endswith(".png")}

    def made_again():
        new = {name: (out / name).stat().st_mtime_ns for name in times}
        changed = {name for name in times if new[name] != times[name]}
        times.update(new)
        return changed

    preprocess_slides(folder, out, **SMALL)
    assert made_again() == set() and files(out) == before
    (out / "one.png").unlink()
    (out / "two.png").write_bytes(before["two.png"][:-40])
    (out / "b" / ".0123456789abcdef.part.png").write_bytes(b"left by a killed process")
    preprocess_slides(folder, out, **SMALL)
    assert files(out) == before
    assert made_again() == {"one.png", "two.png"}
    os.utime(folder / "two.tif", (1, 1))
    preprocess_slides(folder, out, **SMALL)
    assert made_again() == {"two.png"}
    with pytest.raises(ValueError, match="downsample 8, not downsample 10: give --overwrite"):
        preprocess_slides(folder, out, 10, (80, 60))
    assert made_again() == set()
    rows = preprocess_slides(folder, out, 10, (80, 60), overwrite=True)
    assert made_again() == set(times)
    assert {row["total_factor"] for row in rows} == {10}


def test_an_older_image_is_removed_if_its_slide_fails(folder, tmp_path):
    out = tmp_path / "out"
    preprocess_slides(folder, out, **SMALL)
    (folder / "two.tif").write_bytes(b"no slide any more")
    rows = by_slide(preprocess_slides(folder, out, **SMALL))
    assert rows["two.tif"]["status"] == "failed" and not rows["two.tif"]["output"]
    assert "not a slide that OpenSlide can read" in rows["two.tif"]["reason"]
    assert not (out / "two.png").exists() and (out / "one.png").exists()
    (folder / "two.tif").unlink()  # removed by the user: not an error
    assert "two.tif" not in by_slide(preprocess_slides(folder, out, **SMALL))


def test_a_finished_image_is_kept_while_its_slide_cannot_be_reached(folder, tmp_path):
    out, away = tmp_path / "out", tmp_path / "away"
    (tmp_path / "links").mkdir()
    for name in ("one.tif", "two.tif"):
        (tmp_path / "links" / name).symlink_to(folder / name)
    preprocess_slides(tmp_path / "links", out, **SMALL)
    before = files(out)
    folder.rename(away)  # a drive that is not mounted
    rows = preprocess_slides(tmp_path / "links", out, **SMALL)
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert "cannot be read now" in rows[0]["notes"] and "is kept" in rows[0]["notes"]
    assert files(out)["one.png"] == before["one.png"]
    away.rename(folder)
    preprocess_slides(tmp_path / "links", out, **SMALL)
    assert files(out) == before


def test_a_finished_image_is_kept_if_adding_a_hash_fails(folder, tmp_path):
    out = tmp_path / "out"
    preprocess_slides(folder, out, **SMALL)
    before = {name: data for name, data in files(out).items() if name.endswith(".png")}
    rows = preprocess_slides(folder, out, **SMALL, hash=True, timeout=0.001)
    assert {row["status"] for row in rows} == {"failed"}
    assert before.items() <= files(out).items()
    assert {row["status"] for row in preprocess_slides(folder, out, **SMALL)} == {"ok"}


def test_another_slide_of_the_same_name_replaces_an_image_only_with_overwrite(folder, tmp_path):
    out = tmp_path / "out"
    preprocess_slides(folder / "one.tif", out, **SMALL)
    before = files(out)
    other = folder / "b" / "one.tif"
    with pytest.raises(ValueError, match="one.png was made from another slide .*--overwrite"):
        preprocess_slides(other, out, **SMALL)
    assert files(out) == before
    preprocess_slides(other, out, **SMALL, overwrite=True)
    assert files(out)["one.png"] != before["one.png"]


def test_images_of_different_scales_are_made_with_a_warning(tmp_path, tissue, write_tiff):
    for name, per_cm in (("a.tif", 20_000), ("b.tif", 40_000)):
        resolution = {"resolution": (per_cm, per_cm), "resolutionunit": "CENTIMETER"}
        write_tiff(tmp_path / name, [tissue[900:1300, 900:1400]], **resolution)
    slides = [tmp_path / "a.tif", tmp_path / "b.tif"]
    with pytest.warns(UserWarning, match="different scales, from 2 to 4 µm per pixel"):
        preprocess_slides(slides, tmp_path / "out", **SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        preprocess_slides(slides, tmp_path / "same", mpp=8, canvas=(80, 60))
    assert CanvasImages(tmp_path / "out", ["a.tif", "b.tif"]).scales.tolist() == [4, 2]
    (tmp_path / "out" / "manifest.csv").unlink()  # then the images' own notes count
    images = CanvasImages(tmp_path / "out", ["a.tif", "b.tif"])
    assert images.scales.tolist() == [4, 2] and images.scale == 3
    with pytest.warns(UserWarning, match="2 to 4 µm per pixel, so a network sees"):
        images.warn_of_scales()
    with pytest.warns(UserWarning, match="have 2 µm per pixel, but .* was trained on images of 4"):
        images.select(np.array([1])).warn_of_scales(4)


@pytest.mark.faults
def test_broken_slides_do_not_affect_others(folder, tmp_path, svs):
    data = svs.read_bytes()
    (folder / "empty.svs").touch()
    (folder / "text.ndpi").write_text("not a slide")
    (folder / "cut.svs").write_bytes(data[: len(data) // 2])
    (folder / "gone.svs").symlink_to(tmp_path / "nowhere.svs")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "notes.txt").write_text("neither a slide nor named like one")
    (folder / "data.mrxs").write_bytes(b"\xff\xd8")
    (folder / "data").mkdir()
    (folder / "data" / "Data0000.tif").touch()
    with pytest.warns(UserWarning, match="ignored 1 file in .* notes.txt"):
        rows = by_slide(preprocess_slides(folder, tmp_path / "out", **SMALL, workers=3))
    assert len(rows) == 9
    reasons = {name: row["reason"] for name, row in rows.items() if row["status"] == "failed"}
    assert set(reasons) == {"empty.svs", "text.ndpi", "cut.svs", "gone.svs", "data.mrxs"}
    assert "empty (0 bytes)" in reasons["empty.svs"]
    assert "no such file" in reasons["gone.svs"]
    assert len(files(tmp_path / "out")) == 6  # Four images, the manifest, a contact sheet.


def _greedy(size, progress):
    return int(np.ones(size, np.uint8)[-1])


@pytest.mark.skipif(sys.platform != "linux", reason="the limit needs /proc")
def test_a_task_that_needs_too_much_memory_fails_alone():
    outcomes = sorted(run_isolated(_greedy, [2**20, 2 * MEMORY, 2**20], 1, 60))
    assert [kind for _, kind, _ in outcomes] == ["done", "failed", "done"]
    assert outcomes[1][2] == "out of memory (the limit is 4 GiB per slide)"


def worker_processes(least: int) -> list[psutil.Process]:
    """Return the processes that work on slides, which are children of the one that starts them."""
    for _ in range(300):
        children = psutil.Process().children(recursive=True)
        workers = [p for p in children if p.ppid() != os.getpid()]
        if len(workers) >= least:
            return workers
        time.sleep(0.05)
    raise AssertionError("no worker started")


@pytest.mark.faults
def test_a_decoder_that_hangs_or_crashes_fails_alone(folder, tmp_path):
    # Opening a FIFO without a writer hangs, as an unavailable network disk does.
    for name in ("a_crashes.svs", "z_hangs.svs"):
        os.mkfifo(folder / name)
    result = {}

    def run():
        result["rows"] = preprocess_slides(folder, tmp_path / "out", **SMALL, timeout=3)

    thread = threading.Thread(target=run)
    thread.start()
    # The first slide hangs until it gets SIGSEGV, the signal of an invalid pointer in a decoder.
    worker_processes(1)[0].send_signal(signal.SIGSEGV)
    thread.join(60)
    rows = by_slide(result["rows"])
    assert "the decoder crashed (SIGSEGV)" in rows["a_crashes.svs"]["reason"]
    assert "timed out: no progress for 3 seconds" in rows["z_hangs.svs"]["reason"]
    assert [row["status"] for row in rows.values()].count("ok") == 4


def command(*arguments, **options):
    program = "from survival.cli import main; main()"
    arguments = [sys.executable, "-c", program, "preprocess", *map(str, arguments)]
    arguments += ["--downsample", "8", "--canvas", "80x60"]
    return subprocess.Popen(arguments, stdout=-1, stderr=-1, text=True, **options)


def test_a_killed_run_resumes_with_the_same_result(folder, tmp_path):
    # The FIFO is sorted into the middle: with one worker, half of the images exist when it hangs.
    os.mkfifo(folder / "n.svs")
    out = tmp_path / "out"
    killed = command(folder, "--out", out, "--workers", "1")
    while not (out / "b" / "one.png").exists() or len(psutil.Process(killed.pid).children()) < 1:
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.05)
    orphans = psutil.Process(killed.pid).children(recursive=True)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert set(files(out)) == {"b/c/Präparat 3_切片.png", "b/one.png", "manifest.csv"}
    with pytest.raises(ValueError, match="interrupted: run `survival preprocess` again"):
        CanvasImages(out, ["b/one.tif"])
    # Its child processes end too, even one that hangs.
    assert not psutil.wait_procs(orphans, timeout=10)[1]
    kept = (out / "b" / "one.png").stat().st_mtime_ns
    (folder / "n.svs").unlink()
    assert command(folder, "--out", out, "--workers", "1").wait() == 0
    assert (out / "b" / "one.png").stat().st_mtime_ns == kept
    assert command(folder, "--out", tmp_path / "other", "--workers", "1").wait() == 0
    assert files(out) == files(tmp_path / "other")


def test_a_script_needs_no_main_guard_and_runs_only_once(folder, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "print('imported')\n"
        "from survival.slides import preprocess_slides\n"
        f"rows = preprocess_slides({str(folder)!r}, {str(tmp_path / 'out')!r}, 8, (80, 60))\n"
        "print(*(row['status'] for row in rows))\n"
    )
    said = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["imported", *["ok"] * 4]


def allow_small_files_only():
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


@pytest.mark.faults
def test_a_full_disk_stops_the_run_and_leaves_nothing_half_written(folder, tmp_path):
    # A limit of 4 kB per file, less than an image, gives a similar error as a full disk.
    run = command(folder, "--out", tmp_path / "out", preexec_fn=allow_small_files_only)
    _, said = run.communicate()
    assert run.returncode == 2
    assert said.splitlines()[-1].startswith("Error: file too large") and "free some space" in said
    assert list(files(tmp_path / "out")) == ["manifest.csv"]
    with open(tmp_path / "out" / "manifest.csv", encoding="utf-8", newline="") as file:
        assert {row["status"] for row in csv.DictReader(file)} == {"failed"}
    assert command(folder, "--out", tmp_path / "out").wait() == 0
    assert len(files(tmp_path / "out")) == 6


def write_csv(path, *rows):
    with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_measures_in_the_manifest_have_six_digits(folder, tmp_path):
    (exact,) = preprocess_slides(folder / "one.tif", tmp_path / "out", 8, (30, 30), fit=True)
    assert exact["total_factor"] == pytest.approx(500 / 30, rel=1e-12)
    with open(tmp_path / "out" / "manifest.csv", encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["total_factor"], row["fit_factor"]) == ("16.6667", "2.08333")
    assert row["bytes"] == str(exact["bytes"])


def test_a_manifest_sets_factors_and_keeps_its_columns(folder, tmp_path):
    manifest = write_csv(
        tmp_path / "cohort.csv",
        ["patient", "slide", "downsample", "time"],
        ["P1", "slides/two.tif", "", "3.5"],
        ["P2", "slides/b/one.tif", "12", 'Ω, "x"\n'],
        ["P3", str(folder / "one.tif"), "", ""],
        ["P4", "slides/../slides/b/c/Präparat 3_切片.tiff", "5", ""],
    )
    out = tmp_path / "out" / "deep"
    rows = preprocess_slides(manifest, out, 6, (130, 90))
    assert [row["total_factor"] for row in rows] == [6, 12, 6, 5]
    # Nothing is written outside the output folder, whatever the paths.
    outputs = ["slides/two.png", "slides/b/one.png", "one.png", "Präparat 3_切片.png"]
    assert [row["output"] for row in rows] == outputs
    assert set(files(tmp_path / "out")) == {
        *(f"deep/{name}" for name in outputs),
        "deep/manifest.csv",
        "deep/contact_sheet_1.jpg",
    }
    with open(out / "manifest.csv", encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["patient"] for row in written] == ["P1", "P2", "P3", "P4"]
    assert written[1]["time"] == 'Ω, "x"'  # without white space around it, as in a cohort
    # The same manifest in another folder.
    moved = tmp_path / "moved"
    moved.mkdir()
    manifest = write_csv(moved / "m.csv", ["slide"], ["one.tif"])
    (row,) = preprocess_slides(manifest, tmp_path / "out2", **SMALL, root=folder)
    assert row["output"] == "one.png"


def test_decimal_commas_are_read_as_in_a_cohort(folder, tmp_path):
    (folder / "cohort.csv").write_text("slide;downsample\none.tif;12,5\n")
    (row,) = preprocess_slides(folder / "cohort.csv", tmp_path / "out", canvas=(130, 90))
    assert row["total_factor"] == 12.5


def test_a_table_of_the_user_is_not_replaced_by_the_list_of_images(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    table = write_csv(out / "manifest.csv", ["slide", "patient"], ["one.tif", "P1"])
    before = table.read_bytes()
    for source in (folder / "one.tif", table):
        with pytest.raises(ValueError, match="is not the list of images that this command writes"):
            preprocess_slides(source, out, root=folder if source is table else None, **SMALL)
    assert table.read_bytes() == before


def test_images_of_two_settings_do_not_count_as_finished_after_an_interruption(folder, tmp_path):
    out = tmp_path / "out"
    preprocess_slides(folder, out, **SMALL)

    def interrupt(done, total):
        if done >= 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preprocess_slides(folder, out, 16, (130, 90), overwrite=True, progress=interrupt)
    with pytest.raises(ValueError, match="interrupted: run `survival preprocess` again"):
        CanvasImages(out, ["one.tif", "two.tif"])
    rows = preprocess_slides(folder, out, 16, (130, 90), overwrite=True)
    assert {row["total_factor"] for row in rows} == {16}
    assert len(CanvasImages(out, ["one.tif", "two.tif"])) == 2


def test_a_timeout_must_be_finite(folder, tmp_path):
    for timeout in (float("nan"), float("inf"), 1e10, 0):
        with pytest.raises(ValueError, match="timeout must be a number of seconds, > 0 and <="):
            preprocess_slides(folder, tmp_path / "out", timeout=timeout)


def test_a_manifest_may_be_separated_by_tabs_and_its_slides_behind_links(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "links").symlink_to(folder, target_is_directory=True)
    (folder / "up").symlink_to(elsewhere, target_is_directory=True)  # a loop
    manifest = tmp_path / "cohort.tsv"
    manifest.write_text("patient\tslide\nP1\ttwo.tif\n")
    (row,) = preprocess_slides(manifest, tmp_path / "out", **SMALL, root=elsewhere)
    assert (row["status"], row["patient"]) == ("ok", "P1")


def test_a_folder_that_is_also_behind_a_link_keeps_its_own_name(tmp_path):
    (tmp_path / "batch1").mkdir()
    (tmp_path / "batch1" / "s.svs").touch()
    for link in ("alias", "zalias"):
        (tmp_path / link).symlink_to(tmp_path / "batch1", target_is_directory=True)
    found = find_files(["s.svs"], tmp_path)
    assert found == {"s.svs": tmp_path / "batch1" / "s.svs"}


def test_slides_of_a_manifest_are_found_in_either_unicode_form(folder, tmp_path):
    names = {form: unicodedata.normalize(form, "Fälle/Müller 1.tif") for form in ("NFC", "NFD")}
    for named, there in (("NFC", "NFD"), ("NFD", "NFC")):
        slides = tmp_path / there
        file = slides / names[there]
        file.parent.mkdir(parents=True)
        shutil.copy(folder / "one.tif", file)
        assert find_files([names[named], "no.tif"], slides) == {names[named]: file}
        manifest = slides / "cohort.csv"
        manifest.write_text(f"slide\n{names[named]}\n", encoding="utf-8")
        (row,) = preprocess_slides(manifest, tmp_path / f"images {there}", **SMALL)
        assert (row["status"], row["slide"]) == ("ok", names[named])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([["name"], ["a"]], "no column 'slide'; its columns are name"),
        ([["slide;time"], ["gone.tif;1"]], "gone.tif"),  # semicolons are read, too
        ([["slide", "x", "x"]], "more than one column named 'x'"),
        ([["slide"]], "no slides in"),
        ([["slide"], ["one.tif"], ["no.tif"], ["n.svs"]], "2 of 3 slides were not found .* no.tif"),
        ([["slide"], [""]], "no slides in"),
        ([["slide", "x"], ["", "1"]], "line 2: the cell of column 'slide' is empty"),
        ([["slide"], ["one.tif", "1"]], "1 row without the 1 cells of the header: row 2 has 2"),
        ([["slide", "mpp"], ["one.tif"]], "1 row without the 2 cells of the header: row 2 has 1"),
        (
            [["slide", "mpp"], ["one.tif", "1_6"]],
            "line 2: column 'mpp' must have a number, not '1_6'",
        ),
        ([["slide", "mpp"], ["one.tif", "x"]], "line 2: column 'mpp' must have a number, not 'x'"),
        ([["slide", "mpp"], ["one.tif", "-1"]], "line 2: mpp must be a number of"),
        ([["slide", "mpp", "downsample"], ["one.tif", "8", "64"]], "line 2: .* not both"),
        ([["slide"], ["one.tif"], ["b/../one.tif"]], "twice, as one.tif and b/../one.tif; remove"),
        ([["slide"], ["two.tif"], ["../one.tif"], ["two.tif"]], "line 4: .* two.tif .* in line 2"),
        ([["slide"], ["one.tif"], ["b/../b/one.tif"]], "would both be written to one.png"),
        ([["slide"], [b"\0".decode()]], "were not found|not a CSV"),
    ],
)
def test_a_bad_manifest_is_refused_before_anything_is_written(folder, tmp_path, rows, said):
    manifest = write_csv(folder / "cohort.csv", *rows)
    with pytest.raises(ValueError, match=said):
        preprocess_slides(manifest, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_columns_with_names_of_the_output_manifest_are_left_out_with_a_warning(folder, tmp_path):
    """A cohort's event may be in a column `status`, as in R."""
    manifest = write_csv(folder / "cohort.csv", ["slide", "status", "age"], ["two.tif", "1", "61"])
    with pytest.warns(UserWarning, match="1 column not copied into .* under this name: status"):
        (row,) = preprocess_slides(manifest, tmp_path / "out", **SMALL)
    assert (row["status"], row["age"]) == ("ok", "61")


def test_two_slides_with_one_name_are_refused_before_anything_starts(folder, tmp_path):
    for other in ("one.ndpi", "ONE.svs"):
        (folder / other).touch()
        with pytest.raises(
            ValueError, match=f"{other}.* would both be written|{other} and one.tif"
        ):
            preprocess_slides(folder, tmp_path / "out")
        (folder / other).unlink()
    assert not (tmp_path / "out").exists()


def test_several_folders_and_slides_together(folder, tmp_path):
    rows = preprocess_slides([folder / "b", folder / "two.tif"], tmp_path / "out", **SMALL)
    assert [row["slide"] for row in rows] == ["c/Präparat 3_切片.tiff", "one.tif", "two.tif"]
    assert {row["status"] for row in rows} == {"ok"}
    manifest = write_csv(tmp_path / "m.csv", ["slide"], ["slides/one.tif"])
    for sources, said in (
        (
            [folder / "b", folder / "one.tif"],
            "b/one.tif and .*slides/one.tif would both be written to",
        ),
        ([folder, folder / "one.tif"], "slides/one.tif is given twice"),
        ([manifest, folder], "give either .*m.csv alone"),
        ([folder, tmp_path / "no.svs"], "no such file or folder: .*no.svs"),
    ):
        with pytest.raises(ValueError, match=said):
            preprocess_slides(sources, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_images_with_an_older_hash_are_still_valid(folder, tmp_path):
    """Images made with SHA-256 are not made again, and can be compared with each other."""
    out = tmp_path / "out"
    slide = folder / "one.tif"
    image = preprocess_slide(slide, **SMALL)
    new = {"content", "hash", "notes"}
    old = {k: v for k, v in image.provenance.items() if k not in new} | {"sha256": "abc"}
    out.mkdir()
    SlideImage(image.image, old).save(out / "one.png")
    before = (out / "one.png").stat().st_mtime_ns
    (row,) = preprocess_slides(slide, out, **SMALL)
    assert (out / "one.png").stat().st_mtime_ns == before
    assert row["content"] == f"sha256:abc:{slide.stat().st_size}"
    assert CanvasImages(out, ["one.tif"]).contents == [row["content"]]
    # With --hash the slide must be read again.
    (row,) = preprocess_slides(slide, out, **SMALL, hash=True)
    assert row["hash"].startswith("xxh3:") and row["content"].startswith("quickhash:")
    with pytest.raises(ValueError, match="made without exact, not exact True"):
        preprocess_slides(slide, out, **SMALL, exact=True)


def test_an_output_folder_with_other_files_is_refused(folder, tmp_path):
    out = tmp_path / "out"
    preprocess_slides(folder / "b" / "one.tif", out, **SMALL)
    before = files(out)
    with pytest.raises(ValueError, match=r"1 slide not among .* one.tif: .* delete"):
        preprocess_slides(folder / "two.tif", out, **SMALL)
    assert files(out) == before
    Image.new("RGB", (90, 90)).save(folder / "b" / "one.png")
    with pytest.raises(ValueError, match="one.png was not made by this command"):
        preprocess_slides(folder / "b" / "one.tif", folder / "b", **SMALL)
    with open(out / "manifest.csv", "a", encoding="utf-8") as file:
        file.write("x" * 140_000 + "\n")
    limit = csv.field_size_limit(131_072)  # Python's default, which other tests may have raised
    with pytest.raises(
        ValueError, match="manifest.csv is not a CSV file: .* delete it and run the command again"
    ):
        preprocess_slides(folder / "b" / "one.tif", out, **SMALL)
    csv.field_size_limit(limit)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="no slides in"):
        preprocess_slides(empty, out)


def test_names_that_are_long_or_not_utf8(folder, tmp_path):
    # The longest possible name, of 255 bytes, and bytes that are not valid UTF-8.
    names = ["ü" * 125 + "x.tif", os.fsdecode(b"\xff\xfe.tif")]
    for name in names:
        os.link(folder / "one.tif", folder / name)
    out = tmp_path / "out"
    rows = by_slide(preprocess_slides(folder, out, **SMALL))
    assert [rows[name]["status"] for name in names] == ["ok", "ok"]
    assert (out / names[0].replace(".tif", ".png")).exists()
    before = files(out)
    assert preprocess_slides(folder, out, **SMALL)
    assert files(out) == before
    manifest = write_csv(folder / "m.csv", ["slide"], [names[1]])
    (row,) = preprocess_slides(manifest, tmp_path / "out2", **SMALL)
    assert row["status"] == "ok"


@needs_ray
@pytest.mark.slow
def test_ray_gives_the_same_images_and_failures_as_processes(folder, tmp_path):
    (folder / "broken.tif").write_bytes((folder / "one.tif").read_bytes()[:3000])
    here, there = tmp_path / "here", tmp_path / "there"
    expected = preprocess_slides(folder, here, **SMALL)
    options = ("--downsample", "8", "--canvas", "80x60", "--ray", "local", "--workers", "2")
    done = CliRunner().invoke(preprocess, [str(folder), "--out", str(there), *options])
    assert done.exit_code == 1 and "4 of 5 slides converted to images" in done.output
    assert files(there) == files(here)
    assert [row["status"] for row in expected].count("failed") == 1
    # Nothing is left to do, so Ray is not needed and the address is not used.
    (folder / "broken.tif").unlink()
    (there / "manifest.csv").unlink()
    seen = []
    preprocess_slides(
        folder, there, **SMALL, ray="nowhere", progress=lambda *shares: seen.append(shares)
    )
    assert seen[-1] == (4, 4)


@pytest.mark.faults
@needs_ray
@pytest.mark.slow
def test_a_hanging_slide_times_out_on_a_cluster_too(tmp_path):
    outcomes = sorted(run_on_ray(_nap, [0, 60, 0.1], 2, 3, "local"))
    assert [(index, kind) for index, kind, _ in outcomes] == [
        (0, "done"),
        (1, "failed"),
        (2, "done"),
    ]
    assert "no progress for 3 seconds" in outcomes[1][2]


def _nap(seconds, progress):
    time.sleep(seconds)
    return seconds
