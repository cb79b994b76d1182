-- purpose: tissues and patients of every diagnosis
-- grain:   dataset, diagnosis
-- source:  tissues; its column diagnosis, else cancer_type. Where no cohort has one, the name means the NULL in `absent`.
SELECT
    t.dataset,                                         -- cohort
    t.found AS diagnosis,                              -- diagnosis as the cohort names it; NULL where unknown
    count(DISTINCT t.patient_id) AS n_patients,        -- patients
    count(DISTINCT t.tissue_id) AS n_tissues           -- tissues
FROM (SELECT CAST(NULL AS VARCHAR) AS diagnosis, CAST(NULL AS VARCHAR) AS cancer_type) AS absent,
LATERAL (
    SELECT
        dataset, tissue_id, patient_id,
        coalesce(CAST(diagnosis AS VARCHAR), CAST(cancer_type AS VARCHAR)) AS found
    FROM tissues
) AS t
GROUP BY t.dataset, t.found
ORDER BY t.dataset, n_tissues DESC, t.found;
