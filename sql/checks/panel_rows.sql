-- purpose:  channels_per_tissue.parquet has one row per tissue without nulls.
-- severity: error
-- remedy:   Correct the file.
-- file:     panels
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_panels
SELECT
    dataset,            -- name of the dataset's folder
    modality,           -- multiplex modality
    tissue_id AS name,  -- the tissue
    CASE
        WHEN tissue_id IS NULL THEN 'is a missing tissue_id in channels_per_tissue.parquet'
        WHEN count(*) > 1 THEN 'has ' || count(*) || ' rows in channels_per_tissue.parquet'
        ELSE 'has nulls in channels_per_tissue.parquet'
    END AS problem      -- what is wrong, as a sentence about the name
FROM source_panels
GROUP BY dataset, modality, tissue_id
HAVING tissue_id IS NULL OR count(*) > 1 OR bool_or(measured IS NULL)
ORDER BY dataset, modality, name;
