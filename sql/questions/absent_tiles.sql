-- purpose: Tissues of the selected cohorts that have an image, and no tiles of the tiling asked for.
-- grain:   one row per tissue
-- source:  images, tile_coordinates
SELECT DISTINCT 'tiles' AS what, i.dataset, '' AS modality, i.tissue_id
FROM images AS i
WHERE list_contains($datasets, i.dataset) AND list_contains($modalities, i.modality) AND i.mpp = $mpp AND NOT EXISTS (
    SELECT 1 FROM tile_coordinates AS c
    WHERE
        c.dataset = i.dataset AND c.tissue_id = i.tissue_id AND c.mpp = $mpp
        AND c.strategy = $strategy AND c.tile_size = $size
)
ORDER BY ALL
