-- purpose:  An image holds the measured channels or the whole panel.
-- severity: error
-- remedy:   Correct the tables, or write the image anew.
-- file:     images
-- grain:    one row per contradiction; no rows where all is well
-- source:   image_headers, source_panels, source_channels
SELECT
    dataset,            -- name of the dataset's folder
    modality,           -- multiplex modality
    mpp,                -- resolution, microns per pixel
    tissue_id AS name,  -- the tissue
    'has an image of ' || channels || ' channels; expected the ' || bit_count(measured)
        || ' measured ones or all ' || n_panel || ' of the panel' AS problem  -- what is wrong
FROM image_headers
INNER JOIN source_panels USING (dataset, modality, tissue_id)
INNER JOIN (SELECT dataset, modality, count(*) AS n_panel FROM source_channels GROUP BY ALL) AS panel
    USING (dataset, modality)
WHERE channels NOT IN (bit_count(measured), n_panel)
ORDER BY dataset, modality, mpp, name;
