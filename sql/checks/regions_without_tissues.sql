-- purpose:  The tissue of a region has an image.
-- severity: warning
-- remedy:   Add the image, or import the annotations again without it.
-- file:     regions
-- needs:    regions
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_regions, source_images
SELECT
    dataset,                                                 -- name of the dataset's folder
    CAST(NULL AS VARCHAR) AS modality,                       -- regions belong to all modalities
    tissue_id AS name,                                       -- the tissue
    'has ' || n_regions || ' regions, but no image' AS problem  -- what is wrong, about the name
FROM (
    SELECT dataset, tissue_id, count(*) AS n_regions FROM source_regions WHERE tissue_id IS NOT NULL GROUP BY ALL
) AS counted
ANTI JOIN source_images USING (dataset, tissue_id)
ORDER BY dataset, name;
