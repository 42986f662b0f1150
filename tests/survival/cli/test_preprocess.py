"""``survival preprocess`` on the command line."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from survival.cli import main

SVS = Path(__file__).parents[2] / "fixtures" / "slides" / "CMU-1-Small-Region.svs"


def call(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def refused(*arguments) -> str:
    """Return the one-line error with which the command refuses its input, exit status 2."""
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    (error,) = result.stderr.splitlines()
    assert error.startswith("Error: ") and not result.stdout
    return error


def test_a_partial_failure_reports_every_slide_and_exits_with_1(tmp_path):
    slides, out = tmp_path / "slides", tmp_path / "out"
    slides.mkdir()
    (slides / "good.svs").write_bytes(SVS.read_bytes())
    (slides / "bad.svs").write_text("not a slide")
    arguments = ("preprocess", slides, "--out", out, "--canvas", "100x100", "--workers", 1)
    result = call(*arguments)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert "bad.svs: it is not a slide" in result.stderr
    assert result.stdout == f"1 of 2 slides converted to images in {out}; 1 failed\n"
    assert sorted(p.name for p in out.iterdir()) == [
        "contact_sheet_1.jpg",
        "good.png",
        "lock",
        "manifest.csv",
    ]
    (slides / "bad.svs").write_bytes(SVS.read_bytes())
    result = call(*arguments)
    assert result.exit_code == 0
    assert result.stdout == f"2 of 2 slides converted to images in {out}\n"
    images = {p: p.read_bytes() for p in out.iterdir()}
    said = refused(*arguments, "--downsample", 50)
    assert "made with downsample 64, not downsample 50: give --overwrite" in said
    assert {p: p.read_bytes() for p in out.iterdir()} == images
    assert call(*arguments, "--downsample", 50, "--overwrite").exit_code == 0
    assert (out / "good.png").read_bytes() != images[out / "good.png"]


def test_bad_usage_is_one_line_and_exit_status_2(tmp_path):
    out = ("--out", tmp_path / "out")
    assert "no slides in" in refused("preprocess", tmp_path, *out)
    assert "does not exist" in refused("preprocess", tmp_path / "nothing", *out)
    assert "--out" in refused("preprocess", SVS)
    assert "'2500' is not a width and a height" in refused(
        "preprocess", SVS, *out, "--canvas", 2500
    )
    assert "not a width and a height" in refused("preprocess", SVS, *out, "--canvas", "0x20")
    assert "downsample must be" in refused("preprocess", SVS, *out, "--downsample", 0)
    assert "not both" in refused("preprocess", SVS, *out, "--downsample", 64, "--mpp", 8)
    assert "--workers" in refused("preprocess", SVS, *out, "--workers", 0)
    assert "--timeout" in refused("preprocess", SVS, *out, "--timeout", 0)
    assert "No such option" in refused("preprocess", SVS, *out, "--dwonsample", 64)
    assert "No such command" in refused("proprecess", SVS, *out)
    assert not (tmp_path / "out").exists()


def test_file_names_that_are_not_utf8_can_be_printed(tmp_path):
    (tmp_path / "slides").mkdir()
    with open(bytes(tmp_path / "slides") + b"/\xff.svs", "w") as file:
        file.write("not a slide")
    program = "from survival.cli import main; main()"
    arguments = ["preprocess", tmp_path / "slides", "--out", tmp_path / "out", "--workers", "1"]
    run = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True
    )
    assert run.returncode == 2 and "Traceback" not in run.stderr  # all slides failed
    assert r"\xff.svs: it is not a slide" in run.stderr


def test_help_is_complete_and_does_not_load_openslide():
    text = re.sub(r"\s+", " ", call("preprocess", "--help").stdout)
    for shown in (
        "SLIDES...|MANIFEST",
        "--hash",
        "--slide-mpp",
        "[default: 64]",
        "[default: 2500x2000]",
        "--fit",
        "--icc",
        "--mpp",
    ):
        assert shown in text
    assert "preprocess" in call("--help").stdout
    program = "import sys, survival.cli.preprocess; assert 'openslide' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_several_slides_can_be_given(tmp_path):
    for name in ("a.svs", "b.svs"):
        (tmp_path / name).write_bytes(SVS.read_bytes())
    out = tmp_path / "out"
    result = call("preprocess", tmp_path / "a.svs", tmp_path / "b.svs", "--out", out, "--hash")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"2 of 2 slides converted to images in {out}\n"
    assert (
        "Note: a.svs: its image of 35x47 pixels covers only 0.033 % of the canvas" in result.stderr
    )
    header, *rows = csv.reader((out / "manifest.csv").read_text().splitlines())
    hashes, contents = ({row[header.index(name)] for row in rows} for name in ("hash", "content"))
    assert len(hashes) == len(contents) == 1 and hashes.pop().startswith("xxh3:")


@pytest.mark.parametrize("option", [["--mpp", "8"], ["--downsample", "16", "--fit"]])
def test_options_reach_the_slide(tmp_path, option):
    out = tmp_path / "out"
    canvas = "200x200" if "--mpp" in option else "100x100"
    result = call("preprocess", SVS, "--out", out, "--canvas", canvas, *option)
    assert result.exit_code == 0, result.output
    header, row = (out / "manifest.csv").read_text().splitlines()
    factor = float(row.split(",")[header.split(",").index("total_factor")])
    assert factor == pytest.approx(8 / 0.499 if "--mpp" in option else 2967 / 100, rel=1e-5)


def test_every_option_reaches_the_preprocessing(tmp_path, monkeypatch):
    seen = []

    def stop(slides, out, **options):
        seen.append(options)
        raise ValueError("seen")

    monkeypatch.setattr("survival.slides.batch.preprocess_slides", stop)
    given = {"downsample": 8.0, "mpp": 4.0, "slide_mpp": 0.5, "workers": 3, "timeout": 9.0}
    values = [part for n, v in given.items() for part in (f"--{n.replace('_', '-')}", v)]
    flags = ("fit", "icc", "exact", "hash", "overwrite")
    others = ("--root", tmp_path, "--canvas", "30x20", "--ray", "local")
    refused(
        "preprocess", SVS, "--out", tmp_path / "out", *values, *others, *map("--{}".format, flags)
    )
    (options,) = seen
    expected = given | dict.fromkeys(flags, True) | {"root": tmp_path, "ray": "local"}
    assert {name: options[name] for name in expected} == expected
    assert tuple(options["canvas"]) == (30, 20)
