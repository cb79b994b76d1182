-- purpose:  A tile_id names one tile of its tissue.
-- severity: error
-- remedy:   Run spora-db tile.
-- file:     tiling
-- needs:    tile_coordinates
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_tile_coordinates
WITH told AS (  -- in one pass; rows are grouped only where these say that some are wrong
    SELECT
        count(*) AS n,
        count(DISTINCT hash(dataset, mpp, strategy, tile_size, tissue_id, tile_id)) AS n_ids,
        count(DISTINCT hash(dataset, mpp, strategy, tile_size, tissue_id, "row", col)) AS n_places,
        count(tissue_id) AS n_tissues,
        least(count(tile_id), count("row"), count(col)) AS n_numbers,
        least(min(tile_id), min("row"), min(col)) AS least_number
    FROM source_tile_coordinates
),
suspects AS (
    SELECT dataset, mpp, strategy, tile_size, tissue_id, tile_id, "row", col
    FROM source_tile_coordinates
    WHERE (SELECT least(n_ids, n_places, n_tissues, n_numbers) < n OR least_number < 0 FROM told)
),
wrong AS (
    SELECT
        dataset, mpp, strategy, tile_size, tissue_id,
        CASE
            WHEN tissue_id IS NULL THEN 'is a missing tissue_id of ' || count(*) || ' tiles'
            WHEN tile_id IS NULL THEN 'has ' || count(*) || ' rows without tile_id (null or NaN)'
            ELSE 'has ' || count(*) || ' rows with tile_id ' || tile_id
        END AS problem
    FROM suspects
    GROUP BY dataset, mpp, strategy, tile_size, tissue_id, tile_id
    HAVING count(*) > 1 OR tissue_id IS NULL OR tile_id IS NULL
    UNION ALL
    SELECT
        dataset, mpp, strategy, tile_size, tissue_id,
        CASE
            WHEN "row" IS NULL OR col IS NULL THEN 'has ' || count(*) || ' tiles without row or col (null or NaN)'
            ELSE 'has ' || count(*) || ' tiles at row ' || "row" || ', col ' || col
        END AS problem
    FROM suspects
    WHERE tissue_id IS NOT NULL
    GROUP BY dataset, mpp, strategy, tile_size, tissue_id, "row", col
    HAVING count(*) > 1 OR "row" IS NULL OR col IS NULL
    UNION ALL
    SELECT
        dataset, mpp, strategy, tile_size, tissue_id,
        'has tile_id ' || tile_id || ' at row ' || "row" || ', col ' || col || ', which count from 0,' AS problem
    FROM suspects
    WHERE least(tile_id, "row", col) < 0 AND tissue_id IS NOT NULL
)
SELECT
    dataset,                            -- name of the dataset's folder
    CAST(NULL AS VARCHAR) AS modality,  -- a tiling serves all modalities
    tissue_id AS name,                  -- the tissue
    problem || ' in ' || tile_size || '_tile_coordinates.parquet (' || strategy || ')' AS problem  -- what is wrong
FROM wrong
ORDER BY dataset, strategy, tile_size, name, problem;
