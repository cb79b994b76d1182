-- purpose:  The tissue of a tile exists.
-- severity: error
-- remedy:   Correct the ids, or run spora-db tile again.
-- file:     tile_coordinates
-- needs:    tile_coordinates
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_tile_coordinates, source_tissues, source_images, source_masks
SELECT
    dataset,                            -- name of the dataset's folder
    CAST(NULL AS VARCHAR) AS modality,  -- a tiling serves all modalities
    mpp,                                -- resolution of the tiling, microns per pixel
    strategy,                           -- name of the tiling
    tile_size,                          -- side of the tile, pixels
    tissue_id AS name,                  -- the tissue
    'has ' || n_tiles || ' tiles, but no row in tissues.parquet, no image and no mask' AS problem  -- what is wrong
FROM (
    SELECT dataset, mpp, strategy, tile_size, tissue_id, count(*) AS n_tiles
    FROM source_tile_coordinates
    GROUP BY ALL
) AS tiled
ANTI JOIN source_tissues USING (dataset, tissue_id)
ANTI JOIN source_images USING (dataset, tissue_id)
ANTI JOIN source_masks USING (dataset, tissue_id)
ORDER BY dataset, mpp, strategy, tile_size, name;
