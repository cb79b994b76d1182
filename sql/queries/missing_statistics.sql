-- purpose: multiplex images that a standardization does not know
-- grain:   dataset, modality, mpp, spec (NULL: the cohort's modality has no standardization at all)
-- source:  images, channels, standardization_stats; a spec with global upper quantiles knows every image
WITH known AS (
    SELECT DISTINCT dataset, modality, mpp, spec, level, tissue_id FROM standardization_stats WHERE "upper" IS NOT NULL
),
specs AS (
    SELECT DISTINCT dataset, modality, mpp, spec FROM standardization_stats
),
multiplex AS (
    SELECT i.dataset, i.modality, i.mpp, i.tissue_id
    FROM images AS i
    WHERE EXISTS (SELECT 1 FROM channels AS c WHERE c.dataset = i.dataset AND c.modality = i.modality)
)
SELECT
    m.dataset,                                         -- cohort
    m.modality,                                        -- modality with a panel
    m.mpp,                                             -- resolution, microns per pixel
    s.spec,                                            -- method and quantiles
    count(*) AS n_tissues,                             -- images without upper quantiles under this spec
    min(m.tissue_id) AS first_tissue                   -- the first of them
FROM multiplex AS m
LEFT JOIN specs AS s ON s.dataset = m.dataset AND s.modality = m.modality AND s.mpp = m.mpp
LEFT JOIN known AS k
    ON k.dataset = m.dataset AND k.modality = m.modality AND k.mpp = m.mpp AND k.spec = s.spec
    AND (k.level = 'global' OR k.tissue_id = m.tissue_id)
WHERE k.dataset IS NULL
GROUP BY m.dataset, m.modality, m.mpp, s.spec
ORDER BY m.dataset, m.modality, m.mpp, s.spec;
