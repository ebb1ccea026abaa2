"""The addresses of a review: what is next, decisions, undo, and how far it has come."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Body, FastAPI, HTTPException, Query, Request
from pydantic import Field
from starlette.responses import Response

from core.errors import InputError, UnavailableError
from core.files.escaping import for_terminal
from core.review.decisions import Decision, Entry, Name
from core.review.leases import Assignment, lease_next
from core.review.settling import decided_before, to_settle
from core.validation import Settings, validate
from core.workbench.answers import answer
from core.workbench.index import Found
from core.workbench.launching.launcher import Launcher
from core.workbench.launching.overrides import hydra_text
from core.workbench.review_answers import last_shown, strip_shown
from core.workbench.review_lists import Order, ReviewList, Strip
from core.workbench.reviews import Reviews
from core.workbench.summary import shown

_MOST_STRIPS = 8
_KEY = Annotated[str, Query(max_length=200)]
_CLASS = Annotated[str, Query(max_length=1024)]
_Answer = Literal[0, 1] | None


class _Asked(Settings):
    """What a page says in each question: which list, who reviews, and how many strips it wants.

    `again` is a strip that comes first, whoever has decided on it.
    """

    key: Annotated[str, Field(max_length=200)]
    order: Order = "suspects"
    only: Annotated[str, Field(max_length=1024)] = ""
    reviewer: Name
    count: Annotated[int, Field(ge=0, le=_MOST_STRIPS)] = 4
    again: Annotated[str, Field(max_length=200)] = ""


class _Decided(_Asked):
    """The labels that a reviewer wants for a strip, by class; null: unsure.

    `request` names the decision, so that it can be sent again; `blind` is what the page was told.
    """

    request: Annotated[str, Field(pattern=r"^[0-9a-zA-Z-]{16,64}$")]
    strip: Annotated[str, Field(max_length=200)]
    answers: list[_Answer]
    blind: bool
    seconds: Annotated[float, Field(ge=0, le=1e6)] | None = None
    reason: Annotated[str, Field(max_length=2000)] = ""


class _Undone(_Asked):
    """The number of the decision to take back, which is the last one of the reviewer."""

    number: int


def add_review(app: FastAPI, reviews: Reviews, launcher: Launcher | None = None) -> None:
    """Give the application the addresses of a review; `launcher` knows how to train."""

    @app.get("/api/review/list")
    def listed(request: Request, key: _KEY, order: Order = "suspects", only: _CLASS = "") -> Any:
        try:
            found, strips = reviews.list_of(key, order, only)
        except InputError as error:
            return answer(request, {"problem": for_terminal(str(error))})
        return answer(
            request,
            {
                "name": for_terminal(found.name),
                "classes": [shown(name) for name in strips.class_names],
                "class_names": list(strips.class_names),
                "strips": len(strips.order),
                "command": _list_command(reviews.path_for(strips.fingerprint)),
            },
        )

    @app.get("/api/review/progress")
    def progress(request: Request, key: _KEY, order: Order = "suspects", only: _CLASS = "") -> Any:
        try:
            _, strips = reviews.list_of(key, order, only)
            return answer(request, reviews.progress(strips.fingerprint))
        except InputError as error:
            return answer(request, {"problem": for_terminal(str(error))})

    @app.get("/api/review/training")
    def training(request: Request, key: _KEY) -> Any:
        if launcher is None:
            raise HTTPException(404)
        try:
            found, strips = reviews.list_of(key, "suspects", "")
            store = hydra_text(str(reviews.path_for(strips.fingerprint)))
            return answer(request, launcher.command_of(found, f"data.corrections={store}"))
        except InputError as error:
            return answer(request, {"problem": for_terminal(str(error))})

    @app.post("/api/review/next")
    def following(request: Request, body: Annotated[Any, Body()]) -> Response:
        return answer(request, _answered(body, _Asked, "question", reviews))

    @app.post("/api/review/decide")
    def decide(request: Request, body: Annotated[Any, Body()]) -> Response:
        return answer(request, _answered(body, _Decided, "decision", reviews))

    @app.post("/api/review/undo")
    def undo(request: Request, body: Annotated[Any, Body()]) -> Response:
        return answer(request, _answered(body, _Undone, "undo", reviews))


def _list_command(store: Path) -> str:
    """What prints the decisions; a path may need quotes of a shell."""
    return for_terminal(shlex.join(["python", "code/corrections.py", "list", str(store)]))


def _answered(body: Any, kind: type[_Asked], what: str, reviews: Reviews) -> dict[str, Any]:
    """Do what is asked for, and say which strips are next; one line for what cannot be done."""
    try:
        asked = validate(kind, body, what)
        found, strips = reviews.list_of(asked.key, asked.order, asked.only)
        store = reviews.store_for(strips.fingerprint)
        undone: Sequence[Entry] = ()
        first = _known(strips, asked.again).image_id if asked.again else ""
        if isinstance(asked, _Decided):
            store.append(_decisions(asked, found, strips), asked.request)
        elif isinstance(asked, _Undone):
            undone = store.undo(asked.reviewer, asked.number)
        order = strips.order
        if asked.order == "open":
            order = to_settle(store, asked.reviewer, order)
        if undone:
            order = _with_first(order, strips.order, undone[0].image_id)
        following = lease_next(store, asked.reviewer, order, asked.count)
        if first:  # whoever has leased it
            following = _with_first(following, strips.order, first)
        again = [each.image_id for each in following if each.is_open]
        before = decided_before(store, asked.reviewer, again) if again else {}
        last = store.last(asked.reviewer)
    except InputError as error:
        status = 503 if isinstance(error, UnavailableError) else 422
        raise HTTPException(status, for_terminal(str(error))) from None
    return {
        "strips": [strip_shown(strips, each, before.get(each.image_id)) for each in following],
        "undone": for_terminal(undone[0].image_id) if undone else None,
        "last": last_shown(strips, last),
    }


def _decisions(asked: _Decided, found: Found, strips: ReviewList) -> list[Decision]:
    """The decision about each class of the strip, with what the server knows of it."""
    strip = _known(strips, asked.strip)
    if len(asked.answers) != len(strips.class_names):
        raise InputError(
            f"decision: answers={len(asked.answers)} values; expected one for each of the "
            f"{len(strips.class_names)} classes"
        )
    assigned = next(each for each in strips.order if each.image_id == strip.image_id)
    classes = zip(
        strips.class_names, strip.labels, strip.probabilities, asked.answers, strict=True
    )  # fmt: skip
    alike = {
        "reviewer": asked.reviewer,
        "image_id": strip.image_id,
        "fingerprint": strips.fingerprint,
        "model": found.name,
        "reason": asked.reason,
        "seconds": asked.seconds,
        # What is settled was chosen by what others decided, and says nothing about agreement.
        "blind": assigned.blind and asked.blind and asked.order != "open",
        "sample": assigned.sample,
    }
    values = [
        {"class_name": name, "given": bool(given), "decided": _decided(given, wanted)}
        | {"probability": probability}
        for name, given, probability, wanted in classes
    ]
    return [validate(Decision, {**alike, **each}, "decision") for each in values]


def _known(strips: ReviewList, key: str) -> Strip:
    if key not in strips.strips:
        raise InputError(f"strip={key[:80]!r}: expected a key of this list")
    return strips.strips[key]


def _decided(given: int, wanted: _Answer) -> str:
    if wanted is None:
        return "unsure"
    return "keep" if wanted == given else ("set" if wanted else "clear")


def _with_first(
    order: Sequence[Assignment], every: Sequence[Assignment], image_id: str
) -> Sequence[Assignment]:
    """What was taken back or asked for, whoever has decided on it, and then the others."""
    # Its labels were shown before.
    first = [replace(e, is_open=True, blind=False) for e in every if e.image_id == image_id]
    return [*first, *(each for each in order if each.image_id != image_id)]
