-- purpose:  Tissue ids can name files in their folder.
-- severity: error
-- remedy:   Rename the tissue.
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_panels, source_tile_coordinates, source_cells, source_regions, source_statistics
WITH named AS (
    SELECT DISTINCT dataset, 'channels_per_tissue.parquet' AS file, tissue_id FROM source_panels
    UNION ALL
    SELECT DISTINCT dataset, tile_size || '_tile_coordinates.parquet' AS file, tissue_id FROM source_tile_coordinates
    UNION ALL
    SELECT DISTINCT dataset, 'cells.parquet' AS file, tissue_id FROM source_cells
    UNION ALL
    SELECT DISTINCT dataset, 'regions.parquet' AS file, tissue_id FROM source_regions
    UNION ALL
    SELECT DISTINCT dataset, 'statistics of ' || spec AS file, tissue_id FROM source_statistics
)
SELECT
    dataset,                            -- name of the dataset's folder
    CAST(NULL AS VARCHAR) AS modality,  -- any
    tissue_id AS name,                  -- the tissue
    'is refused as tissue_id in ' || file || ': it cannot name a file inside its folder' AS problem  -- what is wrong
FROM named
WHERE regexp_matches(tissue_id, '[/\\\x00]|^\.|^$')
ORDER BY dataset, file, name;
