"""Every script of experiments/ answers --help at once, and the list of all scripts is true."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from experiments import catalog, command, measuring
from experiments.jobs import seed_of, write
from resbuilder.common.cli import Command

ROOT = Path(__file__).parents[2]
MAIN = 'if __name__ == "__main__":'
# Found in the folder, so that new scripts are tested, too.
SCRIPTS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "experiments").rglob("*.py")
    if MAIN in path.read_text(encoding="utf-8")
)
HEAVY = ("absl", "jax", "keras", "matplotlib", "pandas", "scipy", "skimage", "sklearn",
         "tensorflow", "torch")  # fmt: skip
# One process for all of them, because each would take a second to start.
PROGRAM = """
import json, sys
from importlib import import_module
from click.testing import CliRunner

found = {}
for name in sys.argv[2:]:
    main = import_module(name).main
    helped = CliRunner().invoke(main, ["--help"])
    pages = [helped.output]
    for command in getattr(main, "commands", {}):
        pages.append(CliRunner().invoke(main, [command, "--help"]).output)
    heavy = sorted(set(json.loads(sys.argv[1])) & set(sys.modules))
    found[name] = {"status": helped.exit_code, "pages": pages, "heavy": heavy}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def helped():
    """Return the help of every script, and the modules imported by then."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(HEAVY), *SCRIPTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert not done.stderr
    return json.loads(done.stdout)


def test_help_of_every_script_needs_no_backend_and_no_figures(helped):
    assert len(helped) >= 45
    assert {name: found["heavy"] for name, found in helped.items() if found["heavy"]} == {}
    for name, found in helped.items():
        assert found["status"] == 0, name
        assert all("Usage: " in page and "--help" in page for page in found["pages"]), name


def test_help_says_where_runs_and_results_go(helped):
    page = " ".join(helped["experiments.morphnet.bad_start"]["pages"][0].split())
    assert "Folder of the runs. [default: runs/morphnet]" in page
    assert "Results of thesis are written to experiments/results/morphnet, which is tracked" in page
    assert "By default all: quick 1, thesis 3." in page


def test_the_list_names_every_script_and_what_it_reproduces():
    listed = dict(catalog.scripts())
    lists = {"experiments.__main__"} | {f"experiments.{p}.__main__" for p in catalog.PACKAGES}
    alone = {"experiments.tables", "experiments.restore"}
    assert {module.__name__ for module in listed.values()} | lists | alone == set(SCRIPTS)
    text = catalog.listing()
    for name, module in listed.items():
        assert f"  python -m {name}" in text
        if hasattr(module, "EXPERIMENTS"):
            reference = module.__doc__.partition(":")[0].split()[0]
            assert reference in {"Table", "Tables", "Figure", "Figures", "Section", "Chapter",
                                 "Outlook", "Beyond"}, name  # fmt: skip
    part = catalog.listing("resbuilder.studies")
    assert part.count("python -m ") == part.count("python -m experiments.resbuilder.studies.") == 9
    assert part.partition("Studies of")[2] in text


def test_a_script_has_the_option_seeds_if_a_preset_has_several():
    for name, module in catalog.scripts():
        for experiment in getattr(module, "EXPERIMENTS", ()):
            if len(experiment.times) == 1:  # nothing is trained
                continue
            (jobs,) = experiment.jobs.values()
            several = any(len(set(map(seed_of, jobs(p).values()))) > 1 for p in experiment.times)
            commands = getattr(module.main, "commands", {"": module.main})
            given = commands.get("measure", module.main).params
            assert several == any(option.name == "seeds" for option in given), name


def jobs_of(preset):
    """Return two jobs for each of three seeds."""
    return {f"{x}_seed{seed}": {"x": x, "seed": seed} for seed in range(3) for x in (1, 2)}


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "RESULTS", tmp_path)
    return catalog.Experiment({"a/b": jobs_of}, lambda path: None, {"quick": "", "thesis": "1 h"})


def stores(path, *names):
    """Write results of some jobs."""
    path.parent.mkdir(exist_ok=True)
    write(path, {name: {"job": jobs_of("")[name], "accuracy": 0.5} for name in names})


def test_the_state_counts_the_jobs_with_committed_results(experiment, tmp_path):
    path, names = tmp_path / "a" / "b.json", list(jobs_of(""))
    assert experiment.state("thesis") == "not measured"
    for done, state in ((0, "not measured"), (1, "partly: 1 of 6 jobs"),
                        (2, "partly: 1 of 3 seeds"), (3, "partly: 3 of 6 jobs"),
                        (4, "partly: 2 of 3 seeds"), (6, "measured")):  # fmt: skip
        stores(path, *names[:done])
        assert experiment.state("thesis") == state
    assert experiment.state("laptop") == "not measured"  # it has its own file
    found = json.loads(path.read_text())
    found["1_seed0"]["job"]["x"] = 7
    write(path, found)
    assert experiment.state("thesis") == "partly: 5 of 6 jobs"


def squared(job):
    return {"square": job["x"] ** 2}


@click.command(cls=Command)
@command.standard_options("a", seeds={"quick": 3, "thesis": 3}, mirrored=True)
def script(preset, running):
    measuring.measure("a/b", squared, jobs_of(preset), preset, running)


def test_fewer_seeds_run_the_same_jobs_and_lose_no_stored_result(experiment, tmp_path):
    path = tmp_path / "a" / "b.json"
    stores(path, "1_seed1", "2_seed2")
    arguments = ["--preset", "thesis", "--workers", "1", "--out", str(tmp_path / "runs")]
    done = CliRunner().invoke(script, [*arguments, "--seeds", "1"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "runs" / "b_thesis"
    first = {p.name: json.loads(p.read_text())["job"] for p in folder.glob("*.json")}
    assert first == {f"{x}_seed0.json": {"x": x, "seed": 0} for x in (1, 2)}
    assert list(json.loads(path.read_text())) == ["1_seed0", "2_seed0", "1_seed1", "2_seed2"]
    done = CliRunner().invoke(script, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert {n: json.loads((folder / n).read_text())["job"] for n in first} == first
    assert experiment.state("thesis") == "measured"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--seeds", "4"], "too large: --preset quick has 3. Give at most 3"),
        (["--seeds", "0"], "0 is not in the range"),
        (["--data-dir", "/nonexistent"], "'--data-dir': /nonexistent is not a folder; create it"),
        (["--gpus", "1"], "--gpus needs --ray"),
        (["--memory", "4"], "--memory needs --ray"),
        (["--strategy", "mirrored", "--workers", "2"], "give only one of the two"),
        (["--strategy", "mirrored", "--ray", "local"], "as many GPUs as --gpus says: add --gpus"),
    ],
)
def test_wrong_options_are_rejected_in_one_line_with_status_2(arguments, message):
    refused = CliRunner().invoke(script, arguments)
    assert refused.exit_code == 2
    (line,) = refused.output.splitlines()
    assert line.startswith("Error") and message in line


@pytest.mark.parametrize("data_help", [None, "Folder that is made."])
def test_the_home_folder_is_expanded_also_after_an_equals_sign(tmp_path, monkeypatch, data_help):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    found = []

    @click.command(cls=Command)
    @command.standard_options("a", data_help=data_help)
    def main(preset, running):
        found.append(running.data_dir)

    CliRunner().invoke(main, ["--data-dir=~/data"], catch_exceptions=False)
    assert found == [str(tmp_path / "data")]


def test_options_arrive_as_one_argument():
    found = []

    @click.command(cls=Command)
    @command.standard_options(
        "a", "quick", "laptop", seeds={"quick": 1, "laptop": 2}, mirrored=True
    )
    def keeps(preset, running):
        found.append((preset, running))

    given = "--preset laptop --seeds 2 --data-dir . --out o --ray h:1 --gpus 0.5 --memory 3"
    for arguments in ("", f"{given} --workers 3", "--strategy mirrored"):
        done = CliRunner().invoke(keeps, arguments.split(), catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert found == [
        ("quick", command.Running()),
        ("laptop", command.Running(3, ".", Path("o"), 2, "h:1", 0.5, 3)),
        ("quick", command.Running(strategy="mirrored")),
    ]


def test_ctrl_c_at_any_moment_says_how_to_resume(monkeypatch):
    """It does so also while data is made, before the first job."""

    @click.command(cls=Command)
    @command.standard_options("a")
    def interrupted(preset, running):
        raise KeyboardInterrupt

    arguments = ["--preset", "thesis", "--out", "my runs"]
    monkeypatch.setattr(sys, "argv", ["script.py", *arguments])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "experiments.a.b", *arguments])
    done = CliRunner().invoke(interrupted, arguments)
    assert done.exit_code == 130
    said = "To resume: python -m experiments.a.b --preset thesis --out 'my runs'"
    assert said in done.output


def test_results_of_another_version_are_neither_mixed_with_new_ones_nor_lost(experiment, tmp_path):
    path = tmp_path / "a" / "b.json"
    path.parent.mkdir()
    old = {"1_seed1": {"job": {"x": 1, "seed": 1}, "version": "0.0.1", "square": 1}}
    write(path, old)
    arguments = ["--preset", "thesis", "--workers", "1", "--out", str(tmp_path / "runs")]
    done = CliRunner().invoke(script, arguments)
    assert done.exit_code == 2 and "was measured with version 0.0.1, but this is" in done.output
    assert json.loads(path.read_text()) == old and not (tmp_path / "runs").exists()
