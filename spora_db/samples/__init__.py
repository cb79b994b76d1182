"""From a row of a plan to pixels, masks and cells."""
