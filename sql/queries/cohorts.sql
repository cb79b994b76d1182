-- purpose: what each cohort holds
-- grain:   dataset
-- source:  datasets, tissues, tile_coordinates
SELECT
    d.dataset,                                    -- cohort
    d.modalities,                                 -- modalities with a folder
    d.mpps,                                       -- resolutions, microns per pixel
    d.n_images,                                   -- images on disk
    coalesce(t.n_patients, 0) AS n_patients,      -- patients in the metadata
    coalesce(t.n_tissues, 0) AS n_tissues,        -- tissues in the metadata
    coalesce(c.n_tiles, 0) AS n_tiles             -- tiles, over all tilings
FROM datasets AS d
LEFT JOIN (
    SELECT dataset, count(DISTINCT patient_id) AS n_patients, count(DISTINCT tissue_id) AS n_tissues
    FROM tissues
    GROUP BY dataset
) AS t ON t.dataset = d.dataset
LEFT JOIN (SELECT dataset, count(*) AS n_tiles FROM tile_coordinates GROUP BY dataset) AS c ON c.dataset = d.dataset
ORDER BY d.dataset;
