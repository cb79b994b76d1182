"""Torch datasets, samplers and collates; the only package that imports torch."""
