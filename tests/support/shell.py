"""Commands in this process, as somebody types them in a directory."""

import json

from tessera_host.cli import run
from tests.support import quick_keystores
from tests.support.organisation import PASSPHRASE


def go_to(directory, patch):
    """There is a passphrase file, which commands know of, and keystores open without scrypt."""
    patch.chdir(directory)
    quick_keystores.use(patch)
    (directory / "passphrase").write_text(f"{PASSPHRASE}\n")
    patch.setenv("TESSERA_PASSPHRASE_FILE", str(directory / "passphrase"))


class Shell:
    """Runs commands in a directory with a passphrase file."""

    def __init__(self, directory, capsys):
        self.directory = directory
        self._capsys = capsys

    def __call__(self, *arguments):
        """(exit code, stdout, stderr)"""
        self._capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        return (code, *self._capsys.readouterr())

    def json(self, *arguments):
        """The one object that a command which must succeed prints."""
        code, out, err = self(*arguments, "--json")
        assert (code, err) == (0, "")
        assert out.count("\n") == 1
        return json.loads(out)

    def refused(self, *arguments):
        """(exit code, the one line) of a command that must fail, without and with --json."""
        code, out, err = self(*arguments)
        assert code != 0 and out == "" and err.startswith("error: ") and err.count("\n") == 2
        again, out, _ = self(*arguments, "--json")
        assert again == code == json.loads(out)["exit_code"]
        return code, err
