-- purpose: the images on disk
-- grain:   dataset, modality, mpp, tissue_id
-- source:  folders <dataset>/<modality>/<mpp>/images
CREATE VIEW images AS
SELECT
    dataset,        -- name of the dataset's folder
    modality,       -- he, ihc_<marker>, imc, codex, cycif, mibi, or map_<name>
    mpp,            -- resolution, microns per pixel
    tissue_id,      -- stem of the file
    path,           -- file or folder, relative to `root`
    root,           -- folder of the layer that it lies in
    format,         -- ome-zarr or ome-tiff
    channel_count,  -- planes of the image; this and what follows: NULL until `spora-db index`, and after a change
    height,         -- pixels
    width,          -- pixels
    dtype           -- numpy name of the pixel type
FROM source_images;
