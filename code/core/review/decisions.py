"""What a reviewer decides about one label of a strip, and how an entry of the log keeps it."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from core.validation import Settings, validate

Decided = Literal["keep", "set", "clear", "unsure"]
Sample = Literal["ranked", "random"]


def _printable(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("expected printable characters, without spaces around them")
    return text


def _unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("expected Unicode text") from None
    return text


Name = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_printable)]
ImageId = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_unicode)]
ClassName = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_unicode)]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Decision(Settings):
    """A decision about one class of one strip.

    `keep` leaves the `given` label, `set` says that the class is shown, `clear` that it is not,
    and `unsure` says neither. `fingerprint` is that of the data set with its given labels.
    `sample` says why the strip was shown: `random` strips alone estimate the rate of errors.
    `blind` is true where given label and probability were hidden.
    """

    reviewer: Name
    image_id: ImageId
    class_name: ClassName
    given: bool
    decided: Decided
    fingerprint: Fingerprint
    reason: Annotated[str, Field(max_length=2000), AfterValidator(_unicode)] = ""
    model: Annotated[str, Field(max_length=1024), AfterValidator(_unicode)] = ""
    probability: Annotated[float, Field(ge=0, le=1)] | None = None
    seconds: Annotated[float, Field(ge=0, le=1e6)] | None = None
    blind: bool = False
    sample: Sample = "ranked"

    @property
    def label(self) -> int | None:
        """The label that the reviewer wants: 0, 1, or None if unsure."""
        return {"keep": int(self.given), "set": 1, "clear": 0}.get(self.decided)


class Entry(Decision):
    """A decision as the log holds it, with its number and its time in UTC."""

    number: int
    at: str


def checked_decision(values: dict[str, Any]) -> Decision:
    """A decision from values of any origin, such as the body of a request.

    Raises:
        InputError: an unknown, missing or wrong value, in one line.
    """
    return validate(Decision, values, "decision")
