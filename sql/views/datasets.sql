-- purpose: the cohorts of the lake
-- grain:   dataset
-- source:  folders (metadata is not read: a dataset without any table is listed too)
CREATE VIEW datasets AS
SELECT
    dataset,                                         -- name of the dataset's folder
    modalities,                                      -- modalities with a folder, sorted
    mpps,                                            -- resolutions with images, microns per pixel, ascending
    coalesce(present.n_tissues, 0) AS n_tissues,     -- tissues with an image or a mask
    coalesce(present.n_images, 0) AS n_images,       -- images, over all modalities and resolutions
    coalesce(present.n_masks, 0) AS n_masks,         -- masks, over all kinds and resolutions
    path                                             -- folder, relative to each layer of the lake
FROM source_datasets
LEFT JOIN (
    SELECT
        dataset,
        count(DISTINCT tissue_id) AS n_tissues,
        count(*) FILTER (WHERE is_image) AS n_images,
        count(*) FILTER (WHERE NOT is_image) AS n_masks
    FROM (
        SELECT dataset, tissue_id, TRUE AS is_image FROM source_images
        UNION ALL
        SELECT dataset, tissue_id, FALSE AS is_image FROM source_masks
    )
    GROUP BY dataset
) AS present USING (dataset);
