"""The one error type for a user's mistake."""


class InputError(ValueError):
    """Bad input: a file, a key or a value that the user can correct.

    The message is one line that names the file or key, the value, what was expected and how to
    correct it. Entry points print that line and exit with `EXIT_CODE`; only a defect of the
    project itself ends in a traceback.
    """

    def __str__(self) -> str:
        return " ".join(str(self.args[0]).split()) if self.args else ""


EXIT_CODE = 2
