"""Reading regions of OME-Zarr and OME-TIFF images."""
