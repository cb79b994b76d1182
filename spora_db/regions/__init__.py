"""Regions that people outlined in images: their polygons, the share of a tile that they cover, what they hold."""
