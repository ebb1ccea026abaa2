"""Kills trainings that build the image cache, and reports how the next one ended.

As `kill_moments.py`, from which it differs in what is killed: never a step, only `data.cache=disk`
while it is filled, by a training that begins and by one that is resumed.
"""

import shutil
from dataclasses import replace
from pathlib import Path

from conftest import REPOSITORY
from hydra import initialize_config_dir
from kill_moments import Killing, Moments, in_child
from outcomes import differences, outcome

from core.command.config import fill_config_store
from core.command.help import store_help
from core.data import image_cache
from core.running.composition import train
from core.running.resuming import find_training

# Of each of these the one of that number.
BEGUN_ANEW = (
    ("half of an image", 1), ("half of an image", 23), ("all images", 1),
    ("half of manifest.json", 1), ("name the cache", 1), ("named the cache", 1),
)  # fmt: skip
RESUMED = (("half of an image", 40), ("named the cache", 1))


def watch_cache(moments: Moments) -> None:
    """Make every image that is written, and each end of the cache's files, a moment."""
    decoded, publish = image_cache._decoded, image_cache._publish

    def watched_decoded(*args):
        for image in decoded(*args):
            half = len(image) // 2
            yield image[:half]
            moments.passed("half of an image")
            yield image[half:]
        moments.passed("all images")

    def watched_publish(*args):
        moments.passed("name the cache")
        publish(*args)
        moments.passed("named the cache")

    image_cache._decoded, image_cache._publish = watched_decoded, watched_publish


class CacheKilling(Killing):
    """Trainings with the cache, beside one without that nothing killed."""

    def cache_of(self, name: str) -> Path:
        return self.folder / f"{name}_cache"

    def killed_child(self, moment: tuple[str, int], work) -> int:
        def armed() -> None:
            self.moments.die_on = moment
            work()

        return in_child(armed, self.log)

    def report(self, name: str, moment: tuple[str, int], killed: int) -> dict:
        """What there is now, and how the experiment that is there ended; `ended` is added."""
        left = sorted(entry.name for entry in self.cache_of(name).glob("*images_*"))
        return {"moment": moment, "killed": killed, "left": left}

    def kill_begun(self, moment: tuple[str, int]) -> dict:
        """Kill a training that fills the cache, and begin it anew."""
        self.number += 1
        name = str(self.number)
        cache = {"cache": "disk", "cache_dir": self.cache_of(name)}
        config = self.config(name)
        config = replace(config, data=config.data.model_copy(update=cache))
        killed = self.killed_child(moment, lambda: train(config))
        report = self.report(name, moment, killed)
        report["experiments"] = len(list((self.folder / name).glob("*")))
        report["ended"] = in_child(lambda: train(config), self.log)
        return report | self.outcome(name)

    def kill_resumed(self, moment: tuple[str, int]) -> dict:
        """Kill a training at its fifth step, its resumption that fills a cache, and resume that."""
        self.number += 1
        name = str(self.number)
        config, where = self.config(name), self.folder / name
        stopped = self.killed_child(("step", 5), lambda: train(config))
        (path,) = where.iterdir()
        shutil.rmtree(self.cache_of(name), ignore_errors=True)
        given = {"data.cache": "disk", "data.cache_dir": str(self.cache_of(name))}
        killed = self.killed_child(moment, lambda: find_training(str(path), given, where)[1]())
        report = self.report(name, moment, killed) | {"stopped": stopped}
        report["ended"] = in_child(lambda: find_training(str(path), given, where)[1](), self.log)
        return report | self.outcome(name)

    def outcome(self, name: str) -> dict:
        (path,) = (self.folder / name).iterdir()
        found = differences(self.expected, outcome(path))
        whole = [entry.name for entry in self.cache_of(name).glob("images_*")]
        return {"differences": found, "whole": len(whole)}


def reports_of_cache_kills(folder: Path, overrides: list[str]) -> list[dict]:
    """How the trainings ended that followed those which were killed."""
    fill_config_store()
    store_help()
    with initialize_config_dir(str(REPOSITORY / "config"), version_base="1.3"):
        killing = CacheKilling(folder, overrides)
        watch_cache(killing.moments)
        begun = [killing.kill_begun(moment) for moment in BEGUN_ANEW]
        return begun + [killing.kill_resumed(moment) for moment in RESUMED]
