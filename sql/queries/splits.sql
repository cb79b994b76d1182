-- purpose: patients, tissues and tiles of every split, and patients that stand in several splits
-- grain:   dataset, split
-- source:  tissues, tile_coordinates
WITH tile_counts AS (
    SELECT dataset, tissue_id, count(*) AS n_tiles FROM tile_coordinates GROUP BY dataset, tissue_id
),
tissue_splits AS (
    SELECT DISTINCT dataset, tissue_id, patient_id, split FROM tissues
),
leaks AS (
    SELECT dataset, patient_id FROM tissue_splits GROUP BY dataset, patient_id HAVING count(DISTINCT split) > 1
)
SELECT
    s.dataset,                                                          -- cohort
    s.split,                                                            -- split as the cohort names it
    count(DISTINCT s.patient_id) AS n_patients,                         -- patients
    count(DISTINCT s.tissue_id) AS n_tissues,                           -- tissues
    CAST(coalesce(sum(t.n_tiles), 0) AS BIGINT) AS n_tiles,             -- tiles, over all tilings
    count(DISTINCT leaks.patient_id) AS n_patients_in_several_splits    -- a leak between training and test if above 0
FROM tissue_splits AS s
LEFT JOIN tile_counts AS t ON t.dataset = s.dataset AND t.tissue_id = s.tissue_id
LEFT JOIN leaks ON leaks.dataset = s.dataset AND leaks.patient_id = s.patient_id
GROUP BY s.dataset, s.split
ORDER BY s.dataset, s.split;
