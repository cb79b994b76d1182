-- purpose: tiles of every tiling by split
-- grain:   dataset, mpp, strategy, tile_size, split
-- source:  tile_coordinates, tissues
SELECT
    c.dataset,                                         -- cohort
    c.mpp,                                             -- resolution, microns per pixel
    c.strategy,                                        -- name of the tiling
    c.tile_size,                                       -- side of the tile, pixels
    t.split,                                           -- split as the cohort names it; NULL without metadata
    count(*) AS n_tissues,                             -- tissues with tiles
    CAST(sum(c.n_tiles) AS BIGINT) AS n_tiles          -- tiles
FROM (
    SELECT dataset, mpp, strategy, tile_size, tissue_id, count(*) AS n_tiles
    FROM tile_coordinates
    GROUP BY dataset, mpp, strategy, tile_size, tissue_id
) AS c
LEFT JOIN (SELECT DISTINCT dataset, tissue_id, split FROM tissues) AS t
    ON t.dataset = c.dataset AND t.tissue_id = c.tissue_id
GROUP BY c.dataset, c.mpp, c.strategy, c.tile_size, t.split
ORDER BY c.dataset, c.mpp, c.strategy, c.tile_size, t.split;
