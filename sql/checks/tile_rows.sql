-- purpose:  A tile_id names one tile of its tissue.
-- severity: error
-- remedy:   Run spora-db tile.
-- file:     tiling
-- needs:    tile_coordinates
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_tile_coordinates
WITH of_tissues AS (  -- rows are grouped by tile only where what is told of them says that some are wrong
    SELECT
        dataset, mpp, strategy, tile_size, tissue_id,
        count(*) AS n,
        least(count(tissue_id), count(tile_id), count("row"), count(col)) AS n_known,
        least(min(tile_id), min("row"), min(col)) AS least_number,
        sum(hash(tile_id)) AS ids
    FROM source_tile_coordinates
    GROUP BY dataset, mpp, strategy, tile_size, tissue_id
),
counted AS (  -- ids that count from 0, as most do, are told by the sum of their hashes: half the time of counting them
    SELECT number + 1 AS n, sum(hash(number)) OVER (ORDER BY number) AS ids
    FROM range((SELECT max(n) FROM of_tissues)) AS numbers (number)
),
told AS (
    SELECT
        sum(of_tissues.n) AS n,
        bool_and(n_known = of_tissues.n AND least_number >= 0) AS is_known,
        bool_and(counted.n IS NOT NULL) AS is_counted
    FROM of_tissues
    LEFT JOIN counted ON of_tissues.n = counted.n AND of_tissues.ids = counted.ids
),
distinct_ids AS (
    SELECT count(DISTINCT hash(dataset, mpp, strategy, tile_size, tissue_id, tile_id)) AS n
    FROM source_tile_coordinates
    WHERE NOT (SELECT is_counted FROM told)
),
distinct_places AS (
    SELECT count(DISTINCT hash(dataset, mpp, strategy, tile_size, tissue_id, "row", col)) AS n
    FROM source_tile_coordinates
),
suspects AS (
    SELECT dataset, mpp, strategy, tile_size, tissue_id, tile_id, "row", col
    FROM source_tile_coordinates
    WHERE (
        SELECT NOT (is_known AND (is_counted OR distinct_ids.n = told.n) AND distinct_places.n = told.n)
        FROM told, distinct_ids, distinct_places
    )
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
