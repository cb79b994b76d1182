-- purpose: what a query selects tiles from
-- grain:   dataset, modality, mpp, strategy, tile_size, tissue_id, tile_id
-- source:  tile_coordinates with images, tissues and regions; a tile without an image on disk is left out.
--          A cohort's own column that is called as one of tiles', such as row, is tissue_row here.
CREATE VIEW tiles AS
WITH placed AS (
    SELECT
        *,
        regions_of_tile(dataset, tissue_id, mpp, "row", col, tile_size) AS region_fractions,
        map_keys(region_fractions)[1] AS region_class,
        CASE WHEN region_fractions IS NOT NULL THEN coalesce(map_values(region_fractions)[1], 0) END AS region_fraction
    FROM tile_coordinates
), tissue_columns AS (
    SELECT COLUMNS(
        lambda name: lower(name) NOT IN (
            'mpp', 'strategy', 'tile_size', 'tile_id', 'row', 'col', 'path', 'format', 'region_class', 'region_fraction',
            'region_fractions'
        )
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
    region_class,      -- class of the regions that cover most of the tile; NULL outside of all
    region_fraction,   -- share of the tile in that class, 0 outside of all; NULL where the tissue has no regions
    region_fractions,  -- share of the tile in each class, the largest first, without those that it does not touch
    tissue_columns.* EXCLUDE (dataset, tissue_id, modality)  -- all columns of tissues; NULL without metadata
FROM placed
INNER JOIN images USING (dataset, mpp, tissue_id)
LEFT JOIN tissue_columns USING (dataset, tissue_id, modality);
