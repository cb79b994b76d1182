"""Ask a folder of histopathology and spatial-proteomics images in SQL, train on the answer."""
