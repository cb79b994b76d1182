-- purpose:  Modalities of tissues.parquet have folders.
-- severity: warning
-- remedy:   Correct the rows, or add images.
-- file:     tissues
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_tissues, source_datasets
SELECT
    dataset,                                                           -- name of the dataset's folder
    modality,                                                          -- modality of the rows
    modality AS name,                                                  -- the same
    'is the modality of ' || count(*) || ' rows in tissues.parquet, but the dataset has folders only for: '
        || array_to_string(any_value(modalities), ', ') AS problem     -- what is wrong, as a sentence about the name
FROM source_tissues
INNER JOIN source_datasets USING (dataset)
WHERE NOT list_contains(modalities, modality)
GROUP BY dataset, modality
ORDER BY dataset, name;
