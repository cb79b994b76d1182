-- purpose:  Every image has a row in tissues.parquet.
-- severity: warning
-- remedy:   Add the rows.
-- file:     images
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_images, source_tissues
SELECT
    dataset,                                 -- name of the dataset's folder
    modality,                                -- modality of the images
    mpp,                                     -- resolution of the images, microns per pixel
    count(*) || ' images' AS name,            -- how many
    'have no row in tissues.parquet: ' || array_to_string(list_sort(list(tissue_id))[:3], ', ')
        || if(count(*) > 3, ', ...', '') AS problem  -- what is wrong
FROM source_images
ANTI JOIN source_tissues USING (dataset, modality, tissue_id)
-- a dataset without the table is found as tissues_absent
-- and maps are made of images that have their rows
WHERE dataset IN (SELECT dataset FROM source_tissues) AND NOT starts_with(modality, 'map_')
GROUP BY dataset, modality, mpp
ORDER BY dataset, modality, mpp;
