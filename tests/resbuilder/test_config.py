"""Settings: defaults of the thesis, types, ranges, files."""

import json
from dataclasses import dataclass
from typing import Optional

import click
import pytest
from click.testing import CliRunner

from resbuilder import SearchConfig, TrainConfig
from resbuilder.cli.settings import settings
from resbuilder.common.settings_file import read_settings
from resbuilder.config.setting import option
from resbuilder.datasets import absolute_name
from resbuilder.layer_lasso import STATISTICS
from resbuilder.morphnet.native import ALGORITHMS
from resbuilder.morphnet.resources import RESOURCES
from resbuilder.surgery import INSERT_INITS


def test_defaults_are_the_thesis():
    c = SearchConfig(dataset="cifar10")
    assert (c.insertions, c.rounds, c.momentum, c.tau_momentum) == (4, 7, True, 0.015)
    assert (c.lambda_morphnet, c.tau_morphnet, c.intensity, c.flops) == (1e-7, 1e-2, 1.0, 1e8)
    assert (c.lambda_layer, c.tau_layer, c.lambda_l2) == (1e-8, 1e-3, 1e-5)
    assert (c.epochs, c.batch_size, c.validation_fraction, c.shift) == (20, 128, 0.2, 0.1)


def test_choices_equal_those_of_the_functions_that_take_them():
    choices = {
        f: SearchConfig.__dataclass_fields__[f].metadata["choices"]
        for f in ("layer_statistic", "insert_init", "algorithm", "resource")
    }
    assert choices == {
        "layer_statistic": STATISTICS,
        "insert_init": INSERT_INITS,
        "algorithm": ALGORITHMS,
        "resource": tuple(RESOURCES),
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs must be positive, got 0"),
        ({"epochs": 2.5}, "epochs must be a whole number, got 2.5"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"flops": -1.0}, "flops must be positive"),
        ({"flops": float("nan")}, "flops must be finite"),
        ({"flops": "many"}, "flops must be a number, got 'many'"),
        ({"intensity": 1.5}, "intensity must be in"),
        ({"validation_fraction": 1.0}, "validation_fraction must be between 0 and 1"),
        ({"algorithm": "lasso"}, "algorithm must be one of"),
        ({"momentum": "yes"}, "momentum must be true or false"),
        ({"resource": "latency"}, "needs the peak rates"),
        ({"width": 0}, "width must be positive"),
        ({"seed": -1}, r"seed must be in \[0, 2³²\), got -1"),
        ({"lambda_l2": -1.0}, "lambda_l2 must be at least 0, got -1.0"),
        ({"color": "red"}, "unknown settings: color"),
        ({"epoch": 3}, "did you mean epochs"),
        ({"peak_flops": 1e9, "bandwidth": 1e9}, 'for resource "latency" only'),
        ({"peak_flops": 1e9}, 'for resource "latency" only, but the resource is "flops"'),
        ({"bandwidth": 1e9}, 'for resource "latency" only'),
        ({"resource": "latency", "bandwidth": 1e9}, "needs the peak rates"),
        ({"dataset": ""}, "dataset is empty"),
        ({"image_size": 0}, "image_size must be a side in pixels such as 64, or height and width"),
        ({"image_size": "64x"}, "image_size must be a side in pixels"),
        ({"image_size": True}, "image_size must be a side in pixels"),
        ({"image_size": 64.5}, "image_size must be text"),
        ({"fit": "tile"}, "fit must be one of"),
        ({"class_weights": "equal"}, "class_weights must be one of"),
        ({"insert_share": 0.0}, "insert_share must be between 0 and 1"),
        ({"insert_share": 0.25, "insertions": 4}, "must be below 0.25"),
        ({"insert_init": "last_gamma", "block_order": "bn_conv_relu"}, "inside the block"),
    ],
)
def test_a_bad_setting_says_what_is_wrong(settings, message):
    with pytest.raises(ValueError, match=message):
        SearchConfig.from_mapping({"dataset": "digits"} | settings)


@pytest.mark.parametrize(
    ("given", "sides"),
    [(64, (64, 64)), ("64", (64, 64)), ("96x64", (96, 64)), ((96, 64), (96, 64)), (None, None)],
)
def test_an_image_size_is_one_side_or_height_and_width(given, sides):
    config = SearchConfig(dataset="digits", image_size=given)
    assert config.image_sides == sides
    assert SearchConfig.from_mapping(json.loads(json.dumps(config.to_json()))) == config


def test_a_number_larger_than_any_float_is_not_finite():
    with pytest.raises(ValueError, match="flops must be finite"):
        SearchConfig(dataset="digits", flops=10**400)


def test_the_dataset_is_required():
    with pytest.raises(ValueError, match="required settings are missing: dataset"):
        TrainConfig.from_mapping({})


def test_a_training_refuses_settings_of_a_search():
    with pytest.raises(ValueError, match="belong to a search, not to a training: flops"):
        TrainConfig.from_mapping({"dataset": "digits", "flops": 1e6})


def test_files_give_the_same_configuration_as_python(tmp_path):
    expected = SearchConfig(dataset="digits", flops=5e6, rounds=3, momentum=False)
    toml, as_json = tmp_path / "a.toml", tmp_path / "a.json"
    toml.write_text('dataset = "digits"\nflops = 5_000_000\nrounds = 3\nmomentum = false\n')
    as_json.write_text(json.dumps(expected.to_json()))
    for path in (toml, as_json):
        assert SearchConfig.from_mapping(read_settings(path)) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "x: 1", "must end in .toml or .json"),
        ("a.toml", "x = ", "cannot read the configuration"),
        ("a.json", "[1]", "must be a table"),
        ("missing.toml", None, "cannot read the configuration"),
        ("a.json", "[" * 10_000, "nested too deeply"),
        ("a.toml", "x = " + "[" * 10_000, "nested too deeply"),
        ("a.json", '{"flops": 1, "flops": 2}', "the key 'flops' appears twice"),
        ("a.json", '{"flops": NaN}', "NaN is not a number in JSON"),
        ("a.json", '{"batch-size": 1, "batch_size": 2}', "has batch_size twice, with - and with _"),
        ("a.json", '{"scale-to_budget": 1, "scale_to-budget": 2}', "has scale_to_budget twice"),
    ],
)
def test_bad_files(tmp_path, name, text, message):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_settings(path)


def test_resolved_paths_are_absolute_and_names_stay_names(tmp_path, monkeypatch):
    for folder in ("digits", "rb-0net", "mine"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)
    named = SearchConfig(dataset="digits", start="rb-0net", data_dir="mine").resolved()
    assert (named.dataset, named.start) == ("digits", "rb-0net")
    assert named.data_dir == str(tmp_path / "mine")
    assert SearchConfig(dataset="mine").resolved().dataset == str(tmp_path / "mine")


def test_resolving_looks_in_the_data_folder_first_as_load_does(tmp_path, monkeypatch):
    for folder in ("flowers", "data"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data" / "flowers.npz").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESBUILDER_DATA", "data")
    for given in ({}, {"data_dir": "data"}, {"data_dir": str(tmp_path / "data")}):
        found = SearchConfig(dataset="flowers", **given).resolved()
        assert (found.dataset, found.data_dir) == ("flowers", str(tmp_path / "data"))
    elsewhere = SearchConfig(dataset="flowers", data_dir=".").resolved()
    assert (elsewhere.dataset, elsewhere.data_dir) == ("flowers", str(tmp_path))
    (tmp_path / "data" / "flowers.npz").unlink()
    assert SearchConfig(dataset="flowers").resolved().dataset == str(tmp_path / "flowers")
    assert absolute_name("data/../flowers", ".") == str(tmp_path / "data" / ".." / "flowers")


@dataclass(frozen=True, kw_only=True)
class Spelled(TrainConfig):
    """The same setting with its type written in all possible ways, as an object and as text."""

    union: int | None = option(None, "")
    text_union: "int | None" = option(None, "")
    optional: Optional[int] = option(None, "")  # noqa: UP045
    text_optional: "Optional[int]" = option(None, "")  # noqa: UP045
    none_first: None | int = option(None, "")


SPELLINGS = ("union", "text_union", "optional", "text_optional", "none_first")


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_setting_may_be_optional_in_every_spelling(name):
    assert getattr(Spelled(dataset="digits"), name) is None
    assert getattr(Spelled(dataset="digits", **{name: 3}), name) == 3
    with pytest.raises(ValueError, match=f"{name} must be a whole number, got 2.5"):
        Spelled(dataset="digits", **{name: 2.5})

    @click.command()
    @settings(Spelled)
    def command(config_file, **given):
        click.echo(given[name])

    flag = f"--{name.replace('_', '-')}"
    assert CliRunner().invoke(command, [flag, "3"]).output == "3\n"
    assert CliRunner().invoke(command, [flag, "2.5"]).exit_code == 2


def test_a_setting_that_is_not_optional_refuses_none():
    with pytest.raises(ValueError, match="epochs must be a whole number, got None"):
        TrainConfig(dataset="digits", epochs=None)


@pytest.mark.parametrize("declared", [list[int], int | str, None])
def test_a_setting_of_an_unsupported_type_is_refused(declared):
    @dataclass(frozen=True, kw_only=True)
    class Odd(TrainConfig):
        odd: declared = option(None, "")

    with pytest.raises(TypeError, match="Odd.odd is declared as"):
        Odd(dataset="digits")


def test_from_mapping_returns_the_class_that_it_is_called_on():
    made = [
        kind.from_mapping({"dataset": "digits"}) for kind in (TrainConfig, SearchConfig, Spelled)
    ]
    assert [type(config) for config in made] == [TrainConfig, SearchConfig, Spelled]


def test_a_race_has_other_defaults_and_the_default_method_is_the_thesis():
    thesis = SearchConfig.from_mapping({"dataset": "digits"})
    race = SearchConfig(dataset="digits", method="race")
    assert thesis.method == "thesis"
    assert (thesis.learning_rate, thesis.weight_decay, thesis.label_smoothing) == (1e-3, 0.0, 0.0)
    assert (race.learning_rate, race.weight_decay, race.label_smoothing) == (3e-3, 0.05, 0.1)
    assert (race.batch_size, race.total_epochs, race.candidate_depths) == (32, 42, (1, 2))
    given = SearchConfig(dataset="digits", method="race", learning_rate=1e-3, total_epochs=9)
    assert (given.learning_rate, given.total_epochs) == (1e-3, 9)
    for config in (thesis, race, given):
        assert SearchConfig.from_mapping(config.to_json()) == config
    assert "rounds" not in race.to_json() and "total_epochs" not in thesis.to_json()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "race", "rounds": 7}, 'to method "thesis", but the method is "race": rounds'),
        ({"method": "race", "epochs": 5}, 'to method "thesis", but the method is "race": epochs'),
        ({"total_epochs": 9}, 'to method "race", but the method is "thesis": total_epochs'),
        ({"contenders": "resnet-20"}, 'to method "race", but the method is "thesis": contenders'),
        ({"method": "fastest"}, "method must be one of"),
        ({"method": ["race"]}, "method must be text"),
        ({"method": "race", "depths": "1,x"}, "depths must be positive whole numbers"),
        ({"method": "race", "depths": "0"}, "depths must be positive whole numbers"),
        ({"method": "race", "contenders": "a,,b"}, "empty name"),
        ({"method": "race", "contenders": True}, "contenders must be text, got True"),
        ({"method": "race", "total_epochs": 0}, "total_epochs must be positive"),
    ],
)
def test_settings_of_the_other_method_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SearchConfig.from_mapping({"dataset": "digits"} | settings)
    # rounds=7 is the default, so the constructor cannot know that it was given.
    if settings not in ({"method": "race", "rounds": 7},):
        with pytest.raises(ValueError, match=message):
            SearchConfig(dataset="digits", **settings)


def test_lists_are_accepted_where_a_text_has_several_values():
    config = SearchConfig(
        dataset="digits", method="race", depths=[1, 2], contenders=("resnet-20", "rb-r18")
    )
    assert (config.depths, config.contenders) == ("1,2", "resnet-20,rb-r18")
    assert SearchConfig(dataset="digits", method="race", depths=2).depths == "2"
    with pytest.raises(ValueError, match="depths must be positive whole numbers"):
        SearchConfig(dataset="digits", method="race", depths=[1.5])
