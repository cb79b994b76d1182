-- purpose: Selected tissues without a mask of one kind.
-- grain:   one row per tissue
-- source:  plan_images (the images selected), masks
SELECT DISTINCT $kind || ' mask' AS what, p.dataset, '' AS modality, p.tissue_id
FROM plan_images AS p
WHERE NOT EXISTS (
    SELECT 1 FROM masks AS m
    WHERE m.dataset = p.dataset AND m.tissue_id = p.tissue_id AND m.mpp = p.mpp AND m.kind = $kind
)
ORDER BY ALL
