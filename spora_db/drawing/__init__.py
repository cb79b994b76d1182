"""Canvases, charts, composites and captions: how pictures are made, whatever they show."""
