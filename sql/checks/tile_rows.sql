-- purpose: a tile_id names one tile of its tissue and tiling
-- grain:   one row per contradiction; no rows where all is well
-- source:  source_tile_coordinates
SELECT
    dataset,                                                         -- name of the dataset's folder
    CAST(NULL AS VARCHAR) AS modality,                               -- a tiling serves all modalities
    tissue_id AS name,                                               -- the tissue
    'has ' || count(*) || ' rows with tile_id ' || tile_id || ' in ' || tile_size || '_tile_coordinates.parquet ('
        || strategy || ')' AS problem                                -- what is wrong, as a sentence about the name
FROM source_tile_coordinates
GROUP BY dataset, mpp, strategy, tile_size, tissue_id, tile_id
HAVING count(*) > 1 OR tissue_id IS NULL OR tile_id IS NULL
ORDER BY dataset, name;
