"""Where files are kept that can be made again."""

import os
from pathlib import Path


def user_cache_folder() -> Path:
    """The folder of this project among the user's caches.

    Source: XDG Base Directory Specification 0.8, where a path that is not absolute is ignored.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (named if named.is_absolute() else Path.home() / ".cache") / "steel_defects"
    except RuntimeError:  # a user without a home: a place where nothing can be kept
        return Path(os.devnull) / "steel_defects"
