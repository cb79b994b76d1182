-- purpose: Windows over whole images, numbered row by row from the top left: what a query of windows selects from.
-- grain:   dataset, modality, mpp, tissue_id, tile_id
-- source:  images (with their sizes) and tissues
WITH sized AS (
    SELECT
        dataset,
        modality,
        mpp,
        tissue_id,
        1 + (greatest(height - $reach, 0) + $stride - 1) // $stride AS n_rows,
        1 + (greatest(width - $reach, 0) + $stride - 1) // $stride AS n_cols
    FROM images
    WHERE mpp = $mpp AND list_contains($modalities, modality)
), down AS (
    SELECT *, unnest(range(n_rows)) AS window_row FROM sized
), placed AS (
    SELECT *, unnest(range(n_cols)) AS window_col FROM down
), numbered AS (
    SELECT
        dataset,
        modality,
        mpp,
        $strategy AS strategy,
        $size AS tile_size,
        tissue_id,
        window_row * n_cols + window_col AS tile_id,
        window_row * $stride - $before AS "row",
        window_col * $stride - $before AS col
    FROM placed
), tissue_columns AS (
    SELECT COLUMNS(
        lambda name: lower(name) NOT IN (
            'mpp', 'strategy', 'tile_size', 'tile_id', 'row', 'col', 'path', 'format', 'region_class', 'region_fraction',
            'region_fractions'
        )
    )
    FROM tissues
), located AS (
    SELECT
        *,
        regions_of_tile(dataset, tissue_id, mpp, "row", col, tile_size) AS region_fractions,
        map_keys(region_fractions)[1] AS region_class,
        CASE WHEN region_fractions IS NOT NULL THEN coalesce(map_values(region_fractions)[1], 0) END AS region_fraction
    FROM numbered
)
SELECT located.*, tissue_columns.* EXCLUDE (dataset, tissue_id, modality)
FROM located
LEFT JOIN tissue_columns USING (dataset, tissue_id, modality)
