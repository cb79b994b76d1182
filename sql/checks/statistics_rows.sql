-- purpose:  Every image has a row in the image-level statistics.
-- severity: error
-- remedy:   Run spora-db standardize --overwrite, or use statistics at global level.
-- file:     statistics
-- needs:    statistics
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_statistics, source_images
WITH tables AS (
    SELECT DISTINCT dataset, modality, mpp, spec, statistic FROM source_statistics WHERE level = 'image'
)
SELECT
    dataset,                         -- name of the dataset's folder
    modality,                        -- multiplex modality
    mpp,                             -- resolution, microns per pixel
    spec,                            -- method and quantiles
    statistic,                       -- which table
    count(*) || ' images' AS name,   -- how many
    'have no row in image_level_' || statistic || '.parquet: '
        || array_to_string(list_sort(list(tissue_id))[:3], ', ') || if(count(*) > 3, ', ...', '') AS problem  -- what
FROM tables
INNER JOIN source_images USING (dataset, modality, mpp)
ANTI JOIN (SELECT * FROM source_statistics WHERE level = 'image') AS present
    USING (dataset, modality, mpp, spec, statistic, tissue_id)
GROUP BY dataset, modality, mpp, spec, statistic
ORDER BY dataset, modality, mpp, spec, statistic;
