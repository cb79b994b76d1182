-- purpose:  Every row of tissues.parquet has an image.
-- severity: warning
-- remedy:   Download the images, or leave it so if the dataset is meant to be partial.
-- file:     tissues
-- needs:    tissues
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_tissues, source_datasets, source_images
SELECT
    dataset,                                                             -- name of the dataset's folder
    modality,                                                            -- modality of the rows
    count(*) || ' tissues' AS name,                                      -- how many
    'have no image: ' || array_to_string(list_sort(list(tissue_id))[:3], ', ') || if(count(*) > 3, ', ...', '')
        AS problem                                                       -- what is wrong, as a sentence about the name
FROM (SELECT DISTINCT dataset, modality, tissue_id FROM source_tissues) AS listed
INNER JOIN source_datasets USING (dataset)
ANTI JOIN source_images USING (dataset, modality, tissue_id)
WHERE list_contains(modalities, modality)  -- others are found by tissue_modalities
GROUP BY dataset, modality
ORDER BY dataset, modality;
