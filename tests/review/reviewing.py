"""Decisions for the tests of this room."""

from core.review.decisions import Decision

FINGERPRINT = "ab" * 32


def decision(image_id: str = "a.jpg", decided: str = "set", **values) -> Decision:
    """A decision of Ann on the class pit, which was not given, unless told otherwise."""
    usual = {"reviewer": "Ann", "class_name": "pit", "given": False, "fingerprint": FINGERPRINT}
    return Decision(**{**usual, "image_id": image_id, "decided": decided, **values})
