-- purpose:  Every mask has an image at its resolution.
-- severity: note
-- remedy:   Download the images, if wanted.
-- file:     masks
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_masks, source_images
SELECT
    dataset,                                 -- name of the dataset's folder
    CAST(NULL AS VARCHAR) AS modality,       -- masks serve all modalities
    mpp,                                     -- resolution of the masks, microns per pixel
    kind,                                    -- tissue, instances or a cell task
    count(*) || ' masks' AS name,            -- how many
    'have no image: ' || array_to_string(list_sort(list(tissue_id))[:3], ', ') || if(count(*) > 3, ', ...', '')
        AS problem                           -- what is wrong, as a sentence about the name
FROM source_masks
ANTI JOIN source_images USING (dataset, mpp, tissue_id)
GROUP BY dataset, mpp, kind
ORDER BY dataset, mpp, kind;
