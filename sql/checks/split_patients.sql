-- purpose:  A patient's tissues are in one split.
-- severity: warning
-- remedy:   Assign splits by patient; otherwise a test set knows patients of the training set.
-- file:     tissues
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_tissues
SELECT
    dataset,                           -- name of the dataset's folder
    CAST(NULL AS VARCHAR) AS modality,  -- tissues of all modalities
    patient_id AS name,                -- the patient
    'has tissues in the splits ' || string_agg(DISTINCT split, ', ' ORDER BY split) AS problem  -- what is wrong
FROM source_tissues
WHERE patient_id IS NOT NULL
GROUP BY dataset, patient_id
HAVING count(DISTINCT split) > 1
ORDER BY dataset, name;
