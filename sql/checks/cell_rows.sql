-- purpose:  A cell_id names one cell of its tissue, by a label of its mask.
-- severity: error
-- remedy:   Correct the file.
-- file:     cells
-- needs:    cells
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_cells
-- A cohort whose table has no cell_id at all lists values of its cells, and names none.
WITH named AS (
    SELECT dataset FROM source_cells GROUP BY dataset HAVING count(cell_id) > 0
), listed AS (
    SELECT dataset, tissue_id, cell_id, count(*) AS n_rows FROM source_cells GROUP BY ALL
), contradictions AS (
    SELECT
        dataset,
        tissue_id,
        'has ' || n_rows || ' rows with cell_id ' || cell_id || ' (it stands several times in metadata/cells.parquet)'
            AS problem
    FROM listed
    WHERE n_rows > 1 AND tissue_id IS NOT NULL AND cell_id IS NOT NULL
    UNION ALL
    SELECT
        dataset, tissue_id, 'has ' || sum(n_rows) || ' rows without tissue_id or cell_id in metadata/cells.parquet'
    FROM listed
    WHERE tissue_id IS NULL OR (cell_id IS NULL AND dataset IN (SELECT dataset FROM named))
    GROUP BY dataset, tissue_id
    UNION ALL
    SELECT
        dataset,
        tissue_id,
        'has cell_id ' || min(cell_id) || ' in metadata/cells.parquet; labels of an instance mask are numbers from 1 '
            || 'to 2147483647, and 0 is its background'
    FROM listed
    WHERE cell_id NOT BETWEEN 1 AND 2147483647
    GROUP BY dataset, tissue_id
)
SELECT
    dataset,                            -- name of the dataset's folder
    CAST(NULL AS VARCHAR) AS modality,  -- cells belong to all modalities
    tissue_id AS name,                  -- the tissue
    problem                             -- what is wrong, as a sentence about the name
FROM contradictions
ORDER BY dataset, name, problem;
