"""Pascal VOC: a folder with one XML per image, whose objects are boxes."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from core.data.conversion.annotated import (
    AnnotatedImage,
    AnnotatedObject,
    Annotations,
    ImageFiles,
    checked_size,
)
from core.errors import InputError
from core.files.names import check_class_names
from core.files.reading import MEBIBYTE, read_bytes
from core.validation import nearest

_MOST_BYTES = 4 * MEBIBYTE
_SIDES = ("xmin", "ymin", "xmax", "ymax")


def read_voc(folder: Path, files: ImageFiles, class_names: Sequence[str] | None) -> Annotations:
    """The boxes of a folder of XML files; classes in the order of the alphabet if not given.

    Raises:
        InputError: a file that is no such XML, an unknown class, or an image that is not there
            or has another size.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".xml")
    roots = {path: _parse(path) for path in paths}
    named = {path: [_text(one, "name", path) for one in _objects(roots[path])] for path in paths}
    found = sorted({name for names in named.values() for name in names})
    names = check_class_names(class_names or found, f"{folder} objects")
    images = []
    for path, root in roots.items():
        file = files.find(path.stem, str(path))
        size = root.find("size")
        declared = (
            None if size is None else [_number(size, key, path) for key in ("height", "width")]
        )
        objects = []
        for number, (name, one) in enumerate(zip(named[path], _objects(root), strict=True), 1):
            where = f"{path} object {number}"
            if name not in names:
                raise InputError(
                    f"{where}: name {name[:80]!r}{nearest(name, names)}; expected one of "
                    f"{', '.join(names)}: mend it, or name the class in --class-names"
                )
            objects.append(AnnotatedObject(names.index(name), where, _box(one, path, where)))
        actual = checked_size(file, declared, str(path))
        images.append(AnnotatedImage(file, actual, tuple(objects)))
    return Annotations(folder, names, tuple(images))


def _parse(path: Path) -> ElementTree.Element:
    content = read_bytes(path, _MOST_BYTES)
    # Entities can fill the memory, and no annotation declares any.
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise InputError(f"{path}: declares a document type or entities; expected plain XML")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{path}: not an XML file ({error}): export it again") from None
    if root.tag != "annotation":
        raise InputError(f"{path}: its root is <{root.tag[:40]}>; expected <annotation>")
    return root


def _objects(root: ElementTree.Element) -> list[ElementTree.Element]:
    return root.findall("object")


def _box(one: ElementTree.Element, path: Path, where: str) -> tuple[float, float, float, float]:
    box = one.find("bndbox")
    if box is None:
        raise InputError(f"{where}: has no bndbox; expected {', '.join(_SIDES)}")
    left, top, right, bottom = (_number(box, side, path) for side in _SIDES)
    if right < left or bottom < top:
        raise InputError(f"{where}: box {left:g},{top:g} to {right:g},{bottom:g} is turned round")
    # VOC counts pixels from 1, and the last one belongs to the box.
    return left - 1, top - 1, right, bottom


def _text(parent: ElementTree.Element, key: str, path: Path) -> str:
    text = (parent.findtext(key) or "").strip()
    if not text:
        raise InputError(f"{path}: <{parent.tag}> has no <{key}>: export it again")
    return text


def _number(parent: ElementTree.Element, key: str, path: Path) -> float:
    text = _text(parent, key, path)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e6:
        raise InputError(f"{path}: <{key}> is {text[:40]!r}; expected a number of pixels")
    return int(value) if value.is_integer() else value
