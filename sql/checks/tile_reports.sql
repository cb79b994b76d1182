-- purpose:  Tile coordinates and statistics are of one run.
-- severity: error
-- remedy:   Run spora-db tile again.
-- file:     tile_stats
-- needs:    tile_stats
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_tile_coordinates, source_tile_stats
WITH counted AS (
    SELECT dataset, mpp, strategy, tile_size, tissue_id, count(*) AS n_tiles
    FROM source_tile_coordinates
    GROUP BY ALL
),
reported AS (
    SELECT dataset, mpp, strategy, tile_size, tissue_id, any_value(num_tiles) AS num_tiles, count(*) AS n_rows
    FROM source_tile_stats
    GROUP BY ALL
),
-- a tiling without a report has nothing to contradict
in_both AS (
    SELECT DISTINCT dataset, mpp, strategy, tile_size FROM counted
    INTERSECT
    SELECT DISTINCT dataset, mpp, strategy, tile_size FROM reported
)
SELECT
    dataset,                            -- name of the dataset's folder
    CAST(NULL AS VARCHAR) AS modality,  -- a tiling serves all modalities
    mpp,                                -- resolution of the tiling, microns per pixel
    strategy,                           -- name of the tiling
    tile_size,                          -- side of the tile, pixels
    tissue_id AS name,                  -- the tissue
    CASE
        WHEN n_rows > 1 THEN 'has ' || n_rows || ' rows in the tile statistics'
        ELSE 'has ' || coalesce(n_tiles, 0) || ' tiles, but its statistics say '
            || coalesce(CAST(num_tiles AS VARCHAR), 'nothing')
    END AS problem                      -- what is wrong, as a sentence about the name
FROM counted
FULL JOIN reported USING (dataset, mpp, strategy, tile_size, tissue_id)
SEMI JOIN in_both USING (dataset, mpp, strategy, tile_size)
WHERE coalesce(n_tiles, 0) IS DISTINCT FROM num_tiles OR n_rows > 1
ORDER BY dataset, mpp, strategy, tile_size, name;
