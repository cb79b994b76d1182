-- purpose: Selected tissues with an image that could not be read before.
-- grain:   one row per tissue and modality
-- source:  plan_images (the images selected), quarantined_images
SELECT DISTINCT 'image: in quarantine, it could not be read' AS what, p.dataset, p.modality, p.tissue_id
FROM plan_images AS p
SEMI JOIN quarantined_images AS q USING (dataset, modality, mpp, tissue_id)
ORDER BY ALL
