"""Procedural strips of rolled steel with labelled defects, in the layout of the real data set."""

from core.synthetic.generator import StripSettings, generate_strips
from core.synthetic.store import ensure_strips
from core.synthetic.strip import draw_strip

__all__ = ["StripSettings", "draw_strip", "ensure_strips", "generate_strips"]
