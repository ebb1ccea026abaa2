"""The bounds of a constructor's signature, kept for direct use as well."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from pydantic import ConfigDict, create_model

from core.validation import validate


def validated(init: Callable[..., None]) -> Callable[..., None]:
    """Check the arguments of `__init__` against its annotations, as the registry does.

    The signature stays the only place of types, defaults and bounds: `FocalLoss(gamma=-1)` in
    Python and `loss.gamma=-1` on the command line end in the same InputError.
    """
    signature = inspect.signature(init, eval_str=True)
    own = list(signature.parameters.values())[1:]
    fields = {p.name: (p.annotation, ... if p.default is p.empty else p.default) for p in own}
    config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", protected_namespaces=())
    model = create_model(init.__qualname__, __config__=config, **fields)

    @functools.wraps(init)
    def checked_init(self: Any, *args: Any, **kwargs: Any) -> None:
        positional = {p.name: value for p, value in zip(own, args, strict=False)}
        if len(args) > len(own) or positional.keys() & kwargs.keys():
            init(self, *args, **kwargs)  # Python's own TypeError says it best.
        checked = validate(model, positional | kwargs, f"loss {type(self).name()}")
        init(self, **{name: getattr(checked, name) for name in fields})

    return checked_init
