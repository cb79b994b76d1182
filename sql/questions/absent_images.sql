-- purpose: Tissues of the selected cohorts that have no image of the modality and resolution asked for.
-- grain:   one row per tissue and modality
-- source:  tissues, images
SELECT 'image' AS what, t.dataset, t.modality, t.tissue_id
FROM tissues AS t
WHERE list_contains($datasets, t.dataset) AND list_contains($modalities, t.modality) AND NOT EXISTS (
    SELECT 1 FROM images AS i
    WHERE i.dataset = t.dataset AND i.modality = t.modality AND i.tissue_id = t.tissue_id AND i.mpp = $mpp
)
ORDER BY ALL
