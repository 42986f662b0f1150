"""The list of commands imports nothing, and agrees with the commands' own help."""

import subprocess
import sys

import pytest

from survival.cli import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_the_listed_line_is_the_first_line_of_a_commands_help(name):
    command = main.get_command(None, name)
    assert " ".join(command.help.split("\n\n")[0].split()) == COMMANDS[name][1]


def test_help_imports_no_library_of_the_commands():
    program = (
        "import sys\nfrom survival.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'keras', 'pandas', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "preprocess" in done.stdout
