-- purpose: the regions that people outlined in images
-- grain:   dataset, tissue_id, region_id
-- source:  metadata/regions.parquet
CREATE VIEW regions AS
WITH measured AS (
    SELECT
        *,
        list_sum(list_transform(polygon, lambda rings: list_sum(list_transform(rings, lambda ring, nth:
            (CASE WHEN nth = 1 THEN 0.5 ELSE -0.5 END) * abs(list_sum(list_transform(
                list_zip(ring[1:-2], ring[2:]),
                lambda side: (side[1]."row" - ring[1]."row") * (side[2].col - ring[1].col)
                    - (side[2]."row" - ring[1]."row") * (side[1].col - ring[1].col)
            )))
        )))) AS area
    FROM source_regions
)
SELECT
    dataset,    -- name of the dataset's folder
    tissue_id,  -- tissue the region lies in
    region_id,  -- the region within its tissue, always text
    name,       -- what it was called; NULL where it has no name
    class,      -- what it is, such as tumor; NULL where it was not classified: it then belongs to no class
    color,      -- of its class, such as #c80000; NULL where there is none
    mpp,        -- resolution of the pixels of polygon, microns per pixel
    area,       -- of the polygon without its holes, square pixels
    list_min(list_transform(flatten(flatten(polygon)), lambda point: point."row")) AS first_row,  -- of its bounding box, pixels
    list_min(list_transform(flatten(flatten(polygon)), lambda point: point.col)) AS first_col,    -- of its bounding box, pixels
    list_max(list_transform(flatten(flatten(polygon)), lambda point: point."row")) AS last_row,   -- of its bounding box, pixels
    list_max(list_transform(flatten(flatten(polygon)), lambda point: point.col)) AS last_col,     -- of its bounding box, pixels
    polygon,    -- polygons, each a list of rings (outline, holes), each a list of points, the last the first again
    * EXCLUDE (dataset, tissue_id, region_id, name, class, color, mpp, polygon, area)  -- further columns of files
FROM measured;
