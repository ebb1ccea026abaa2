"""What ends a command in one line, and what is an error of the program."""

import errno
import os

import pytest

from core.command.mistakes import mistakes_in_one_line


@pytest.mark.parametrize("path", ["/secret/results.json", b"/secret/\xff.json"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.ENAMETOOLONG, errno.ENOTDIR])
def test_what_the_system_refuses_about_a_path_is_one_line(number, path, capsys):
    with pytest.raises(SystemExit) as ended, mistakes_in_one_line():
        raise OSError(number, os.strerror(number), path)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: /secret/")
    assert f"{os.strerror(number)}: give another path" in line


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOENT, "gone", "/a"), OSError(errno.EACCES, "no")]
)
def test_other_errors_of_the_system_are_errors_of_the_program(error):
    with pytest.raises(OSError) as raised, mistakes_in_one_line():  # noqa: PT011
        raise error
    assert raised.value is error
