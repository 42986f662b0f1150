"""The list of commands imports nothing, and agrees with the commands' own help."""

import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete

from survival.cli import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_the_listed_line_is_the_first_line_of_a_commands_help(name):
    command = main.get_command(None, name)
    assert " ".join(command.help.split("\n\n")[0].split()) == COMMANDS[name][1]


@pytest.mark.parametrize(
    ("words", "shown"), [([], "preprocess"), *(([name], "--help") for name in COMMANDS)]
)
def test_help_imports_no_heavy_library_of_the_commands(words, shown):
    program = (
        "import sys\nfrom survival.cli import main\n"
        f"try:\n    main([*{words}, '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'keras', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout


def test_completion_offers_commands_and_options():
    complete = ShellComplete(main, {}, "survival", "_SURVIVAL_COMPLETE")
    assert [item.value for item in complete.get_completions([], "prep")] == ["preprocess"]
    assert [item.value for item in complete.get_completions([], "--h")] == ["--help"]
    assert "split" in [item.value for item in complete.get_completions(["cohort"], "")]
