-- purpose:  A region has an id of its own, a resolution, a color or none, and closed rings of finite points.
-- severity: error
-- remedy:   Correct the file, or import the annotations again.
-- file:     regions
-- needs:    regions
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_regions
WITH contradictions AS (
    SELECT dataset, tissue_id, 'has ' || count(*) || ' regions with region_id ' || region_id AS problem
    FROM source_regions
    WHERE tissue_id IS NOT NULL AND region_id IS NOT NULL
    GROUP BY dataset, tissue_id, region_id
    HAVING count(*) > 1
    UNION ALL
    SELECT dataset, tissue_id, 'has ' || count(*) || ' regions without tissue_id, region_id, mpp or polygon'
    FROM source_regions
    WHERE tissue_id IS NULL OR region_id IS NULL OR mpp IS NULL OR coalesce(len(flatten(polygon)), 0) = 0
    GROUP BY dataset, tissue_id
    UNION ALL
    SELECT dataset, tissue_id, 'has the region ' || region_id || ' with mpp ' || mpp || '; it is a number above 0'
    FROM source_regions
    WHERE NOT (mpp > 0 AND isfinite(mpp))
    UNION ALL
    SELECT dataset, tissue_id, 'has the region ' || region_id || ' with color ' || color || '; one is like #c80000'
    FROM source_regions
    WHERE NOT regexp_full_match(color, '#[0-9a-fA-F]{6}')
    UNION ALL
    SELECT
        dataset,
        tissue_id,
        'has the region ' || region_id || ' with a ring that is not closed, of fewer than four points, or of points '
            || 'without finite coordinates'
    FROM source_regions
    WHERE NOT coalesce(list_bool_and(list_transform(
        flatten(polygon),
        lambda ring: coalesce(len(ring) >= 4, FALSE) AND ring[1] = ring[-1] AND list_bool_and(list_transform(
            ring, lambda point: coalesce(isfinite(point."row") AND isfinite(point.col), FALSE)
        ))
    )), TRUE)
)
SELECT
    dataset,                            -- name of the dataset's folder
    CAST(NULL AS VARCHAR) AS modality,  -- regions belong to all modalities
    tissue_id AS name,                  -- the tissue
    problem                             -- what is wrong, as a sentence about the name
FROM contradictions
ORDER BY dataset, name, problem;
