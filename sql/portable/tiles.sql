-- purpose: what a query selects tiles from, for engines other than DuckDB
-- grain:   dataset, modality, mpp, strategy, tile_size, tissue_id, tile_id
-- source:  as views/tiles.sql; the star becomes a list of columns when it is translated
CREATE VIEW tiles AS
SELECT
    c.dataset AS dataset,        -- name of the dataset's folder
    i.modality AS modality,      -- modality of the image
    c.mpp AS mpp,                -- resolution, microns per pixel
    c.strategy AS strategy,      -- name of the tiling
    c.tile_size AS tile_size,    -- side of the tile, pixels
    c.tissue_id AS tissue_id,    -- tissue
    c.tile_id AS tile_id,        -- number of the tile within its tissue and tiling
    c."row" AS "row",            -- first row of the tile, pixels
    c.col AS col,                -- first column of the tile, pixels
    i.path AS path,              -- image, relative to the lake
    i.format AS format,          -- ome-zarr or ome-tiff
    t.* EXCLUDE (
        dataset, tissue_id, modality, mpp, strategy, tile_size, tile_id, "row", col, path, format, region_class,
        region_fraction, region_fractions
    )
FROM tile_coordinates AS c
INNER JOIN images AS i ON i.dataset = c.dataset AND i.mpp = c.mpp AND i.tissue_id = c.tissue_id
LEFT JOIN tissues AS t ON t.dataset = c.dataset AND t.tissue_id = c.tissue_id AND t.modality = i.modality;
