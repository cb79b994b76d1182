-- purpose:  tissues.parquet has a row per tissue and modality, of a usable id.
-- severity: error
-- remedy:   Correct the file.
-- file:     tissues
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_tissues
SELECT
    dataset,            -- name of the dataset's folder
    modality,           -- modality of the rows
    tissue_id AS name,  -- the tissue
    CASE
        WHEN tissue_id IS NULL THEN 'is a missing tissue_id in tissues.parquet'
        WHEN count(*) > 1 THEN 'has ' || count(*) || ' rows in tissues.parquet'
        ELSE 'is refused as tissue_id in tissues.parquet: it cannot name a file inside its folder'
    END AS problem      -- what is wrong, as a sentence about the name
FROM source_tissues
GROUP BY dataset, modality, tissue_id
HAVING tissue_id IS NULL OR count(*) > 1 OR regexp_matches(tissue_id, '[/\\\x00]|^\.|^$')
ORDER BY dataset, modality, name;
