"""The command ``resbuilder datasets`` and what is below it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from resbuilder.common.backend import load_backend
from resbuilder.common.cli import Commands, echo_json, json_option

_data_dir = click.option("--data-dir", help="Folder of the datasets.  [env var: RESBUILDER_DATA]")


@click.group(cls=Commands, invoke_without_command=True)
@_data_dir
@json_option
@click.pass_context
def datasets(context: click.Context, data_dir: str | None, as_json: bool) -> None:
    """List the datasets and say which are on this machine.

    `resbuilder datasets prepare` adds those that cannot be downloaded automatically.
    """
    if context.invoked_subcommand is not None:
        return None
    load_backend()
    from rich.console import Console

    from resbuilder.cli.tables import dataset_table
    from resbuilder.datasets import available

    if as_json:
        return echo_json([asdict(listing) for listing in available(data_dir)])

    # Not wrapped to the terminal: paths are there to be copied.
    Console(width=200).print(dataset_table(data_dir))
    return None


@datasets.command()
@click.argument("name")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@_data_dir
@click.option("--overwrite", is_flag=True, help="Replace NAME.npz if it exists.")
@click.option(
    "--verify/--no-verify",
    default=True,
    show_default=True,
    help="Check the SHA-256 of the files, where one is published.",
)
def prepare(
    name: str, files: tuple[Path, ...], data_dir: str | None, overwrite: bool, verify: bool
) -> None:
    """Turn the FILES of dataset NAME, as downloaded, into what the other commands read.

    NAME is mnist, fashion_mnist, emnist, cifar10, cifar100, smallnorb or animals10. FILES are the
    files that its page offers, still packed, or the folder that holds them. Without the right
    files, the error says which to download from which page.
    """
    load_backend()
    from resbuilder.datasets import load
    from resbuilder.datasets import prepare as prepare_files

    path = prepare_files(name, files, data_dir, overwrite=overwrite, verify=verify)
    if path.is_dir():
        return click.echo(f"{path}: ready for --dataset {name}")
    data = load(path)
    click.echo(
        f"{path}: {len(data.x_train):,} training and {len(data.x_test):,} test images, "
        f"ready for --dataset {name}"
    )
    return None
