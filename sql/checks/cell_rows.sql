-- purpose: a cell_id names one cell of its tissue
-- grain:   one row per contradiction; no rows where all is well
-- source:  source_cells
SELECT
    dataset,                            -- name of the dataset's folder
    CAST(NULL AS VARCHAR) AS modality,  -- cells belong to all modalities
    tissue_id AS name,                  -- the tissue
    CASE
        WHEN tissue_id IS NULL OR cell_id IS NULL
            THEN 'has ' || count(*) || ' rows without tissue_id or cell_id in cells.parquet'
        ELSE 'has ' || count(*) || ' rows with cell_id ' || cell_id || ' in cells.parquet'
    END AS problem                      -- what is wrong, as a sentence about the name
FROM source_cells
GROUP BY dataset, tissue_id, cell_id
HAVING count(*) > 1 OR tissue_id IS NULL OR cell_id IS NULL
ORDER BY dataset, name, cell_id;
