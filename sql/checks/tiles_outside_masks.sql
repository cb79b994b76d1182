-- purpose:  Tiles lie in the mask they were made from.
-- severity: error
-- remedy:   Run spora-db tile again.
-- file:     tile_stats
-- needs:    tile_stats
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_tile_coordinates, source_tile_stats
WITH sized AS (
    SELECT dataset, mpp, strategy, tile_size, tissue_id, mask_height AS height, mask_width AS width
    FROM source_tile_stats
)
SELECT
    dataset,                            -- name of the dataset's folder
    CAST(NULL AS VARCHAR) AS modality,  -- a tiling serves all modalities
    mpp,                                -- resolution of the tiling, microns per pixel
    strategy,                           -- name of the tiling
    tile_size,                          -- side of the tile, pixels
    tissue_id AS name,                  -- the tissue
    'has ' || count(*) || ' tiles outside its mask of ' || any_value(height) || ' x ' || any_value(width)
        || ' pixels, such as tile ' || min(tile_id) || ' at row ' || arg_min("row", tile_id) || ', col '
        || arg_min(col, tile_id) AS problem  -- what is wrong, as a sentence about the name
FROM source_tile_coordinates
INNER JOIN sized USING (dataset, mpp, strategy, tile_size, tissue_id)
-- tiles of a grid may cross the edge and are padded; those of the greedy tiling only where the tissue is smaller
WHERE "row" < 0 OR col < 0 OR "row" >= height OR col >= width
    OR (
        strategy = 'default'
        AND ("row" + tile_size > greatest(height, tile_size) OR col + tile_size > greatest(width, tile_size))
    )
GROUP BY dataset, mpp, strategy, tile_size, tissue_id
ORDER BY dataset, mpp, strategy, tile_size, name;
