-- purpose: where tiles lie
-- grain:   dataset, mpp, strategy, tile_size, tissue_id, tile_id
-- source:  tiling/<mpp>/<strategy>/<tile_size>_tile_coordinates.parquet
CREATE VIEW tile_coordinates AS
SELECT
    dataset,    -- name of the dataset's folder
    mpp,        -- resolution, microns per pixel
    strategy,   -- name of the tiling
    tile_size,  -- side of the tile, pixels
    tissue_id,  -- tissue
    tile_id,    -- number of the tile within its tissue and tiling
    "row",      -- first row of the tile, pixels
    col         -- first column of the tile, pixels
FROM source_tile_coordinates;
