"""Painted defects that exist nowhere, for learning from strips that nobody labelled."""
