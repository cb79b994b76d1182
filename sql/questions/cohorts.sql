-- purpose: What a catalog shows of itself in a notebook.
-- grain:   one row per dataset
-- source:  datasets, tissues, tile_coordinates
SELECT
    d.dataset,
    array_to_string(d.modalities, ', ') AS modalities,
    d.n_images,
    coalesce(t.n_tissues, 0) AS n_tissues,
    coalesce(t.n_patients, 0) AS n_patients,
    coalesce(c.n_tiles, 0) AS n_tiles
FROM datasets AS d
LEFT JOIN (
    SELECT dataset, count(DISTINCT tissue_id) AS n_tissues, count(DISTINCT patient_id) AS n_patients
    FROM tissues
    GROUP BY dataset
) AS t ON t.dataset = d.dataset
LEFT JOIN (SELECT dataset, count(*) AS n_tiles FROM tile_coordinates GROUP BY dataset) AS c ON c.dataset = d.dataset
ORDER BY d.dataset
LIMIT $most
