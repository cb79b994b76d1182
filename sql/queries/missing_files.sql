-- purpose: tissues of the metadata without an image, and images without metadata or tissue mask
-- grain:   dataset, modality, tissue_id
-- source:  tissues, images, masks
SELECT
    coalesce(t.dataset, i.dataset) AS dataset,          -- cohort
    coalesce(t.modality, i.modality) AS modality,       -- modality
    coalesce(t.tissue_id, i.tissue_id) AS tissue_id,    -- tissue
    t.tissue_id IS NULL AS no_metadata,                 -- the image's tissue has no row in tissues
    i.tissue_id IS NULL AS no_image,                    -- the row in tissues has no image
    m.tissue_id IS NULL AS no_mask                      -- there is no tissue mask at any resolution
FROM tissues AS t
FULL JOIN (SELECT DISTINCT dataset, modality, tissue_id FROM images) AS i
    ON i.dataset = t.dataset AND i.modality = t.modality AND i.tissue_id = t.tissue_id
LEFT JOIN (SELECT DISTINCT dataset, tissue_id FROM masks WHERE kind = 'tissue') AS m
    ON m.dataset = coalesce(t.dataset, i.dataset) AND m.tissue_id = coalesce(t.tissue_id, i.tissue_id)
WHERE t.tissue_id IS NULL OR i.tissue_id IS NULL OR m.tissue_id IS NULL
ORDER BY dataset, modality, tissue_id;
