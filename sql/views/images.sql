-- purpose: the images on disk
-- grain:   dataset, modality, mpp, tissue_id
-- source:  folders <dataset>/<modality>/<mpp>/images
CREATE VIEW images AS
SELECT
    dataset,                              -- name of the dataset's folder
    modality,                             -- he, ihc_<marker>, imc, codex, cycif or mibi
    mpp,                                  -- resolution, microns per pixel
    tissue_id,                            -- stem of the file
    path,                                 -- file or folder, relative to the lake
    format,                               -- ome-zarr or ome-tiff
    CAST(NULL AS BIGINT) AS channel_count,  -- planes of the image; NULL until indexed
    CAST(NULL AS BIGINT) AS height,         -- pixels; NULL until indexed
    CAST(NULL AS BIGINT) AS width,          -- pixels; NULL until indexed
    CAST(NULL AS VARCHAR) AS dtype          -- numpy name of the pixel type; NULL until indexed
FROM source_images;
