"""Novelty: whether a strip is like those that were learned from."""

from core import imported_when_asked

__getattr__ = imported_when_asked(__name__, {"NoveltyColumns": "core.novelty.scoring"})
