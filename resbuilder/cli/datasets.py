"""The command ``resbuilder datasets`` and its sub-commands."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from resbuilder.cli.settings import data_dir_option
from resbuilder.common.backend import load_backend
from resbuilder.common.cli import Commands, echo_json, json_option


@click.group(cls=Commands, invoke_without_command=True)
@data_dir_option
@json_option
@click.pass_context
def datasets(context: click.Context, data_dir: str | None, as_json: bool) -> None:
    """List the known datasets and where their files are.

    `resbuilder datasets prepare` adds a dataset from files that you have downloaded yourself.
    """
    if context.invoked_subcommand is not None:
        for flag, given in (("--data-dir", data_dir is not None), ("--json", as_json)):
            if given:
                raise click.UsageError(
                    f"{flag} before {context.invoked_subcommand} has no effect; give it after "
                    f"{context.invoked_subcommand}, or leave it out"
                )
        return None
    load_backend()
    from resbuilder.cli.tables import dataset_table, print_whole
    from resbuilder.datasets import available

    if as_json:
        return echo_json([asdict(listing) for listing in available(data_dir)])

    return print_whole(dataset_table(data_dir))


@datasets.command()
@click.argument("name")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@data_dir_option
@click.option("--overwrite", is_flag=True, help="Replace NAME.npz if it exists")
@click.option(
    "--verify/--no-verify",
    default=True,
    show_default=True,
    help="Check the SHA-256 of each file, if one is published",
)
def prepare(
    name: str, files: tuple[Path, ...], data_dir: str | None, overwrite: bool, verify: bool
) -> None:
    """Add dataset NAME from FILES that you have downloaded.

    NAME is mnist, fashion_mnist, emnist, cifar10, cifar100, smallnorb or animals10. FILES are the
    files from its web page, still packed, or the folder that contains them. If files are missing,
    the error says which ones to download from which page.
    """
    load_backend()
    from resbuilder.datasets import prepare as prepare_files
    from resbuilder.datasets.npz import count_npz

    path = prepare_files(name, files, data_dir, overwrite=overwrite, verify=verify)
    if path.is_dir():
        return click.echo(f"{path}: ready for --dataset {name}")
    train, test = count_npz(path)
    click.echo(f"{path}: {train:,} training and {test:,} test images, ready for --dataset {name}")
    return None
