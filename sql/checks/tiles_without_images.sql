-- purpose:  The tissue of a tile has an image.
-- severity: warning
-- remedy:   Download the images; a query leaves these tiles out.
-- file:     tile_coordinates
-- needs:    tile_coordinates
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_tile_coordinates, source_images, source_tissues, source_masks
WITH tiled AS (
    SELECT DISTINCT dataset, mpp, strategy, tile_size, tissue_id FROM source_tile_coordinates
)
SELECT
    dataset,                                 -- name of the dataset's folder
    CAST(NULL AS VARCHAR) AS modality,       -- a tiling serves all modalities
    mpp,                                     -- resolution of the tiling, microns per pixel
    strategy,                                -- name of the tiling
    tile_size,                               -- side of the tile, pixels
    count(*) || ' tissues' AS name,          -- how many
    'have tiles but no image: ' || array_to_string(list_sort(list(tissue_id))[:3], ', ')
        || if(count(*) > 3, ', ...', '') AS problem  -- what is wrong
FROM tiled
ANTI JOIN source_images USING (dataset, mpp, tissue_id)
-- tissues that exist nowhere are found by tiles_without_tissues
SEMI JOIN (
    SELECT dataset, tissue_id FROM source_tissues
    UNION
    SELECT dataset, tissue_id FROM source_images
    UNION
    SELECT dataset, tissue_id FROM source_masks
) AS existing USING (dataset, tissue_id)
GROUP BY dataset, mpp, strategy, tile_size
ORDER BY dataset, mpp, strategy, tile_size;
