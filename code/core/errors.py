"""The one error type for a user's mistake."""


class InputError(ValueError):
    """Bad input: a file, a key or a value that the user can mend.

    The message is one line that names the file or key, the value found, what was expected
    and how to mend it. Entry points print that line and exit with `EXIT_CODE`; a traceback
    is kept for defects of the project itself.
    """

    def __str__(self) -> str:
        return " ".join(str(self.args[0]).split()) if self.args else ""


EXIT_CODE = 2
