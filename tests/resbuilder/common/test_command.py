"""Errors of a command name its flags where the library names Python arguments."""

import click
import pytest
from click.testing import CliRunner

from resbuilder.common.cli import Command


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("data_dir is empty", "--data-dir is empty"),
        ("flops must be positive", "--flops must be positive"),
        ("no budget; give flops= or data_dir=3", "no budget; give --flops or --data-dir=3"),
        # Ordinary words, longer names and parts of paths are not arguments.
        ("a budget of 3 flops", "a budget of 3 flops"),
        ("peak_flops=3", "peak_flops=3"),
        ("/a/data_dir/b: my-data_dir is missing", "/a/data_dir/b: my-data_dir is missing"),
    ],
)
def test_arguments_in_errors_become_flags(error, message):
    @click.command(cls=Command)
    @click.option("--data-dir")
    @click.option("--flops")
    def command(**given):
        raise ValueError(error)

    result = CliRunner().invoke(command)
    assert result.exit_code == 2 and result.stderr == f"Error: {message}\n"
