"""Errors of a command name its flags where the library names Python arguments."""

import os
import subprocess
import sys

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


def test_what_the_output_cannot_encode_does_not_end_a_command(tmp_path):
    code = (
        "import click\n"
        "from resbuilder.common.cli import Command\n"
        "click.command(cls=Command)(lambda: click.echo('27 → 14 ζ'))()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.strip() == rb"27 \u2192 14 \u03b6"
