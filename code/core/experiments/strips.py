"""Where an experiment's strips are."""

from pathlib import Path


class ImageFolder:
    """Finds images by their id in a data set's root or one of its folders."""

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self.folders: list[Path] = []
        if root is not None and root.is_dir():
            self.folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())]

    def find(self, image_id: str) -> Path | None:
        """The image's file; None where there is none."""
        # An id is a file's name; anything else could lead out of the data set.
        if Path(image_id).name != image_id:
            return None
        files = (folder / image_id for folder in self.folders)
        try:
            return next((file for file in files if file.is_file()), None)
        except OSError:  # too long a name
            return None
