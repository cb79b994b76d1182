-- purpose: the tiler's report
-- grain:   dataset, mpp, strategy, tile_size, tissue_id
-- source:  tiling/<mpp>/<strategy>/<tile_size>_tile_stats.parquet
CREATE VIEW tile_stats AS
SELECT
    dataset,    -- name of the dataset's folder
    mpp,        -- resolution, microns per pixel
    strategy,   -- name of the tiling
    tile_size,  -- side of the tile, pixels
    tissue_id,  -- tissue
    * EXCLUDE (dataset, mpp, strategy, tile_size, tissue_id)  -- what the tiler wrote: sizes in pixels, ratios in 0..1
FROM source_tile_stats;
