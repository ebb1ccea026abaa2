"""A model and all that belongs to it in one zip file, checked whole before anything is used."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from core.errors import InputError
from core.files.reading import MEBIBYTE
from core.files.writing import replacing
from core.predicting.onnx_model import OnnxModel
from core.predicting.onnx_trial import LARGEST_FILE, open_untrusted
from core.predicting.signature import Signature

MODEL, THRESHOLDS, CHECKSUMS = "model.onnx", "thresholds.json", "SHA256SUMS"
PARITY, CONFIG, CARD = f"{MODEL}.parity.json", "config.yaml", "MODEL_CARD.md"
# The members of a bundle, and how large each may be: no more than this is ever read.
LARGEST = {
    MODEL: LARGEST_FILE,
    PARITY: MEBIBYTE,
    CONFIG: MEBIBYTE,
    THRESHOLDS: MEBIBYTE,
    CARD: MEBIBYTE,
    CHECKSUMS: MEBIBYTE,
}
# Always the same, so that equal content gives equal files.
_DATE = (1980, 1, 1, 0, 0, 0)


def write_bundle(path: Path, members: Mapping[str, bytes], signature: Signature) -> None:
    """Pack `members`: all of `LARGEST` but the thresholds and the checksums.

    `sha256sum --check` can read the checksums.
    """
    content = {**members, THRESHOLDS: _thresholds(signature)}
    sums = "".join(f"{_digest(data)}  {name}\n" for name, data in sorted(content.items()))
    content[CHECKSUMS] = sums.encode()
    assert content.keys() == LARGEST.keys()
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content[name])


def open_bundle(path: Path) -> OnnxModel:
    """The model in a bundle, once every checksum is right. Nothing is unpacked to the disk.

    Raises:
        InputError: not a zip file, members that are missing, unknown, given twice or too large, a
            wrong checksum, or thresholds that are not the model's.
    """
    content = _read_members(path)
    _check_sums(path, content)
    model = open_untrusted(content[MODEL], str(path))
    if content[THRESHOLDS] != _thresholds(model.signature):
        raise InputError(
            f"{path}: {THRESHOLDS} and {MODEL} differ: pack it again with code/export.py --bundle"
        )
    return model


def is_bundle(path: Path) -> bool:
    """Whether a file is a zip file with the members of a bundle, whatever they hold."""
    try:
        with zipfile.ZipFile(path) as archive:
            return set(archive.namelist()) == LARGEST.keys()
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        return False


def _read_members(path: Path) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive.infolist())
            return {entry.filename: _read(archive, entry) for entry in archive.infolist()}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise InputError(
            f"{path}: not a whole zip file ({error}): copy it again, or pack it again with "
            "code/export.py --bundle"
        ) from None


def _check_members(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    for entry in entries:
        name = entry.filename
        # A path that leads elsewhere, such as `../x`, is not a known name either.
        if name not in LARGEST:
            raise InputError(f"{path}: holds {name!r}, which no bundle does: it was not unpacked")
        # Python decompresses others without a bound: a kilobyte can take gigabytes.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{path}: {name} is not compressed as in a bundle: pack it again")
        if entry.file_size > LARGEST[name]:
            raise InputError(
                f"{path}: {name} claims to be {entry.file_size} bytes large; expected at most "
                f"{LARGEST[name]}"
            )
    if missing := LARGEST.keys() - names:
        raise InputError(f"{path}: lacks {sorted(missing)[0]}: pack it again")
    if len(names) > len(LARGEST):
        raise InputError(f"{path}: holds a member twice: pack it again")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """A member; no more than it may have is decompressed, whatever its header says."""
    with archive.open(entry) as stream:
        return stream.read(LARGEST[entry.filename])


def _check_sums(path: Path, content: Mapping[str, bytes]) -> None:
    lines = content[CHECKSUMS].decode(errors="replace").splitlines()
    expected = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name, data in content.items():
        if name != CHECKSUMS and expected.get(name) != _digest(data):
            raise InputError(
                f"{path}: the checksum of {name} is wrong: the file was changed or damaged; copy "
                "it again, or pack it again with code/export.py --bundle"
            )


def _thresholds(signature: Signature) -> bytes:
    """The signature for a reader: classes, thresholds, image size."""
    return (json.dumps(json.loads(signature.to_json()), indent=2) + "\n").encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
