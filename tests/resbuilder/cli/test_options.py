"""Each option of ``search`` reaches the settings of the run."""

import re
from importlib.metadata import version

import click
import pytest
from click.testing import CliRunner

from resbuilder import SearchConfig
from resbuilder.cli import main
from survival.cli import main as survival

# Given in every call, or in effect only together with others.
OTHERS = ("dataset", "method", "flops", "start", "stem")
# Values for settings whose default cannot be doubled, or has no effect.
GIVEN = {
    "depths": "1,3",
    "contenders": "resnet-20",
    "image_size": "8",
    "ela_quality": 90,
    "total_epochs": 50,
    "data_dir": "tests",
    "width": 4,
    "stages": 2,
    "warmup": 0.1,
    "label_smoothing": 0.1,
    "intensity": 0.5,
    "resource": "latency",
    "class_weights": "balanced",
    "ema": 0.9,
    "insert_share": 0.1,
    "peak_flops": 1e12,
    "bandwidth": 1e11,
    "train_limit": 100,
}
FLAGS = ("flip", "momentum", "inherit_channels", "tensorboard")


class Stop(Exception):
    pass


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """Return a function that gives the settings with which a command would search."""
    seen = []

    def search(config, out, *rest, **more):
        seen.append(config)
        raise Stop

    monkeypatch.setattr("resbuilder.pipeline.search", search)

    def of(*options):
        given = ("search", "--dataset", "digits", "--flops", "2e5", *map(str, options))
        done = CliRunner().invoke(main, [*given, "--out", str(tmp_path / "run")])
        assert isinstance(done.exception, Stop), done.output
        return seen[-1]

    return of


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_can_be_set_both_ways(settings, name):
    flag = name.replace("_", "-")
    assert getattr(settings(f"--{flag}"), name) is True
    assert getattr(settings(f"--no-{flag}"), name) is False


def options():
    """Return the options of ``search`` that take a value, without those of :data:`OTHERS`."""
    command = main.get_command(None, "search")
    fields = SearchConfig.__dataclass_fields__
    found = [p for p in command.params if p.name in fields and not p.secondary_opts]
    return [option for option in found if option.name not in OTHERS]


@pytest.mark.parametrize("option", options(), ids=lambda option: option.name)
def test_a_value_reaches_its_setting(settings, option):
    default = getattr(SearchConfig(dataset="digits"), option.name)
    if isinstance(option.type, click.Choice) and option.name not in GIVEN:
        value = next(choice for choice in option.type.choices if choice != default)
    else:
        value = GIVEN.get(option.name) or type(default)(default * 2 or 1)
    more = {
        "depths": ("--method", "race"),
        "contenders": ("--method", "race"),
        "total_epochs": ("--method", "race"),
        "peak_flops": ("--resource", "latency", "--bandwidth", 1e11),
        "bandwidth": ("--resource", "latency", "--peak-flops", 1e12),
        "resource": ("--peak-flops", 1e12, "--bandwidth", 1e11),
        "warmup": ("--schedule", "cosine"),
    }.get(option.name, ())
    found = getattr(settings(option.opts[0], value, *more), option.name)
    assert found == value or str(found) == str(value)


@pytest.mark.parametrize("program", [main, survival])
def test_the_version_is_that_of_the_package(program):
    said = CliRunner().invoke(program, ["--version"]).stdout
    assert re.search(r"\d+\.\d+\.\d+", said)[0] == version("resbuilder")


def test_a_file_with_the_settings_of_another_command_is_refused(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"format": 1, "kind": "train", "dataset": "digits"}')
    result = CliRunner().invoke(main, ["search", "--config", str(file), "--out", "x"])
    assert result.exit_code == 2
    assert "settings of a `resbuilder train`, not of a `resbuilder search`" in result.stderr
