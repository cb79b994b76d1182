-- purpose: the feature sets that were written back to the lake; feature('<name>') has their vectors
-- grain:   dataset, name
-- source:  features/<name>/features.json and the names of the parts beside it
CREATE VIEW features AS
SELECT
    dataset,      -- name of the dataset's folder
    name,         -- name of the feature set
    grain,        -- what a row of it is of: tile, cell or tissue
    dimension,    -- length of its vectors; of the first, where it has several; NULL where it has none
    columns,      -- its columns, vectors with their length
    n_rows,       -- rows that have features
    n_expected,   -- rows that there are when it is complete
    n_failed,     -- rows of these that the model or the reading failed at, see failed.parquet
    CASE WHEN n_expected > 0 THEN n_rows / n_expected END AS coverage,  -- share of the expected rows, 0..1
    state,        -- running or complete
    model,        -- name of the model; NULL where none was given
    weights,      -- hash of its weights; NULL where none was given
    modalities,   -- what the model saw
    spec,         -- how pixels were standardized
    mpp,          -- resolution of what the model saw, microns per pixel
    strategy,     -- name of the tiling; NULL for cells and tissues
    tile_size,    -- side of the tile (around the cell), pixels; NULL for whole tissues
    rows_hash,    -- fingerprint of the rows that were asked for, in all datasets
    path,         -- its folder, relative to root
    root          -- layer that it lies in
FROM source_features;
