-- purpose:  Every multiplex image has a row in channels_per_tissue.parquet.
-- severity: error
-- remedy:   Add the rows, or remove the images.
-- file:     images
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_images, source_panels
SELECT
    dataset,                                 -- name of the dataset's folder
    modality,                                -- modality of the images
    mpp,                                     -- resolution of the images, microns per pixel
    count(*) || ' images' AS name,            -- how many
    'have no row in channels_per_tissue.parquet: ' || array_to_string(list_sort(list(tissue_id))[:3], ', ')
        || if(count(*) > 3, ', ...', '') AS problem  -- what is wrong
FROM source_images
ANTI JOIN source_panels USING (dataset, modality, tissue_id)
-- a modality without the table has a row for every image, and is found as measured_absent
WHERE (dataset, modality) IN (SELECT (dataset, modality) FROM source_panels)
GROUP BY dataset, modality, mpp
ORDER BY dataset, modality, mpp;
