-- purpose:  Images of a tissue at one resolution have one size.
-- severity: error
-- remedy:   Align the images, or move one to the folder of its own resolution.
-- grain:    one row per contradiction; no rows where all is well
-- source:   image_headers
SELECT
    dataset,                            -- name of the dataset's folder
    CAST(NULL AS VARCHAR) AS modality,  -- several
    mpp,                                -- resolution, microns per pixel
    tissue_id AS name,                  -- the tissue
    'has images of different sizes: '
        || string_agg(modality || ' ' || height || ' x ' || width, ', ' ORDER BY modality) AS problem  -- what is wrong
FROM image_headers
GROUP BY dataset, mpp, tissue_id
HAVING count(DISTINCT (height, width)) > 1
ORDER BY dataset, mpp, name;
