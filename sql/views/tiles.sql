-- purpose: what a query selects tiles from
-- grain:   dataset, modality, mpp, strategy, tile_size, tissue_id, tile_id
-- source:  tile_coordinates with images and tissues; a tile without an image on disk is left out.
--          A cohort's own column named like one of tiles' stands in tissues only.
CREATE VIEW tiles AS
WITH tissue_columns AS (
    SELECT COLUMNS(
        lambda name: lower(name) NOT IN ('mpp', 'strategy', 'tile_size', 'tile_id', 'row', 'col', 'path', 'format')
    )
    FROM tissues
)
SELECT
    dataset,    -- name of the dataset's folder
    modality,   -- modality of the image
    mpp,        -- resolution, microns per pixel
    strategy,   -- name of the tiling
    tile_size,  -- side of the tile, pixels
    tissue_id,  -- tissue
    tile_id,    -- number of the tile within its tissue and tiling
    "row",      -- first row of the tile, pixels
    col,        -- first column of the tile, pixels
    path,       -- image, relative to the lake
    format,     -- ome-zarr or ome-tiff
    tissue_columns.* EXCLUDE (dataset, tissue_id, modality)  -- all columns of tissues; NULL without metadata
FROM tile_coordinates
INNER JOIN images USING (dataset, mpp, tissue_id)
LEFT JOIN tissue_columns USING (dataset, tissue_id, modality);
