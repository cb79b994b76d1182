-- purpose:  Tissue ids differ by more than upper and lower case.
-- severity: warning
-- remedy:   Rename one; on many disks their images would replace each other.
-- file:     tissues
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_tissues
SELECT
    dataset,                                                    -- name of the dataset's folder
    CAST(NULL AS VARCHAR) AS modality,                          -- tissues of all modalities
    string_agg(DISTINCT tissue_id, ', ' ORDER BY tissue_id) AS name,  -- the tissues
    'differ in upper and lower case only' AS problem            -- what is wrong, as a sentence about the name
FROM source_tissues
GROUP BY dataset, lower(tissue_id)
HAVING count(DISTINCT tissue_id) > 1
ORDER BY dataset, name;
