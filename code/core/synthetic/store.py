"""Generated strips kept on disk: drawn once for each settings, whole or not at all."""

import hashlib
import json
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from core.errors import InputError
from core.files.reading import read_json
from core.files.writing import make_readable, to_json
from core.synthetic.generator import MANIFEST_NAME, StripSettings, generate_strips


def ensure_strips(base: Path, settings: StripSettings, num_workers: int = 1) -> Path:
    """Folder under `base` with the strips of these settings, generated unless it is there.

    Of two processes that generate the same strips, the first to finish names the folder, and the
    other uses it. Raises InputError for impossible class shares, a `base` that cannot be written
    to or is full, or strips removed since.
    """
    folder = Path(base) / folder_name(settings)
    if not folder.exists():
        _generate(folder, settings, num_workers)
    _require_complete(folder, settings)
    return folder


def folder_name(settings: StripSettings) -> str:
    """A readable name with a short hash over all settings and the generator's version."""
    digest = hashlib.sha256(json.dumps(settings.manifest()).encode()).hexdigest()[:8]
    height, width = settings.image_size
    shares = settings.class_shares if isinstance(settings.class_shares, str) else "own_shares"
    return f"{shares}_{settings.num_images}_{height}x{width}_seed{settings.seed}_{digest}"


def _generate(folder: Path, settings: StripSettings, num_workers: int) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent)
    except OSError as error:
        raise InputError(
            f"{folder.parent}: cannot write generated strips there ({error.strerror}); "
            "choose a folder that can be written with data.root=DIR"
        ) from None
    temporary = Path(made)
    try:
        generate_strips(temporary, settings, num_workers)
        make_readable(temporary)
        temporary.rename(folder)
    except (OSError, InputError) as error:
        reason = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(reason, OSError):
            raise
        # A folder that is not empty is never replaced: another process was first.
        if not folder.exists():
            raise InputError(
                f"{folder.parent}: generated strips cannot be written there "
                f"({reason.strerror or reason}); nothing of them was kept: make room, or choose "
                "another folder with data.root=DIR"
            ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _require_complete(folder: Path, settings: StripSettings) -> None:
    expected = to_json(settings.manifest())
    manifest = None
    with suppress(InputError):
        manifest = read_json(folder / MANIFEST_NAME)
    matches = isinstance(manifest, dict) and expected.items() <= manifest.items()
    # After a power failure a file may have its name, but not its content.
    found = sum(path.stat().st_size > 0 for path in (folder / "train_images").glob("*.jpg"))
    if not matches or found != settings.num_images or not (folder / "train.csv").is_file():
        raise InputError(
            f"{folder}: {found} of {settings.num_images} generated strips are there, or its "
            f"train.csv or {MANIFEST_NAME} was changed; remove the folder to generate it again"
        )
