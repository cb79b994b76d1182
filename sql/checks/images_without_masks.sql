-- purpose:  Every image has a tissue mask.
-- severity: note
-- remedy:   Add masks; tiling and statistics need them.
-- file:     images
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_images, source_masks
SELECT
    dataset,                                 -- name of the dataset's folder
    modality,                                -- modality of the images
    mpp,                                     -- resolution of the images, microns per pixel
    count(*) || ' images' AS name,            -- how many
    'have no tissue mask: ' || array_to_string(list_sort(list(tissue_id))[:3], ', ')
        || if(count(*) > 3, ', ...', '') AS problem  -- what is wrong
FROM source_images
ANTI JOIN (SELECT dataset, mpp, tissue_id FROM source_masks WHERE kind = 'tissue') AS masked
    USING (dataset, mpp, tissue_id)
-- maps are coarser than masks have to be
WHERE NOT starts_with(modality, 'map_')
GROUP BY dataset, modality, mpp
ORDER BY dataset, modality, mpp;
