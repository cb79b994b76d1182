-- purpose:  The tissue of a cell has a row in tissues.parquet.
-- severity: warning
-- remedy:   Add the row.
-- file:     cells
-- needs:    cells
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_cells, source_tissues
SELECT
    dataset,                                                            -- name of the dataset's folder
    CAST(NULL AS VARCHAR) AS modality,                                  -- cells belong to all modalities
    tissue_id AS name,                                                  -- the tissue
    'has ' || n_cells || ' cells, but no row in tissues.parquet' AS problem  -- what is wrong, about the name
FROM (
    SELECT dataset, tissue_id, count(*) AS n_cells FROM source_cells WHERE tissue_id IS NOT NULL GROUP BY ALL
) AS counted
ANTI JOIN source_tissues USING (dataset, tissue_id)
WHERE dataset IN (SELECT dataset FROM source_tissues)
ORDER BY dataset, name;
