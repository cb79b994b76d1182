-- purpose:  Every measured channel has statistics.
-- severity: warning
-- remedy:   Run spora-db standardize --overwrite; until then the channel is dropped for these tissues.
-- file:     statistics
-- needs:    statistics
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_statistics, source_statistics_columns, source_images, source_panels, source_panel_columns
WITH listed AS (
    SELECT
        dataset, modality, mpp, spec, statistic, tissue_id,
        unnest(channel_names) AS channel_name, unnest(channel_values) AS channel_value,
        string_split(unnest(channel_tables), ' ') AS listed_in
    FROM source_statistics
    INNER JOIN source_statistics_columns USING (dataset, modality, mpp, spec, level)
    SEMI JOIN source_images USING (dataset, modality, mpp, tissue_id)
    WHERE level = 'image'
)
SELECT
    dataset,               -- name of the dataset's folder
    modality,              -- multiplex modality
    mpp,                   -- resolution, microns per pixel
    spec,                  -- method and quantiles
    statistic,             -- which table
    channel_name AS name,  -- the channel
    'was measured but has no value in image_level_' || statistic || '.parquet for ' || count(*) || ' tissues: '
        || array_to_string(list_sort(list(tissue_id))[:3], ', ') || if(count(*) > 3, ', ...', '') AS problem  -- what
FROM (
    SELECT * FROM listed
    WHERE (channel_value IS NULL OR isnan(channel_value)) AND list_contains(listed_in, statistic)
) AS absent
INNER JOIN source_panel_columns USING (dataset, modality, channel_name)
INNER JOIN source_panels USING (dataset, modality, tissue_id)
WHERE get_bit(measured, position) = 1
GROUP BY dataset, modality, mpp, spec, statistic, channel_name
ORDER BY dataset, modality, mpp, spec, statistic, name;
