-- purpose:  The statistics of a channel can standardize it.
-- severity: warning
-- remedy:   Run spora-db standardize with --on-zero-quantile or a higher --upper-quantile, or load with
--           standardize(disable_quantile_mask=True) or the standardization 'identity', or leave the channel out.
-- file:     statistics
-- needs:    statistics
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_statistics, source_statistics_columns, source_images, source_panels, source_panel_columns
WITH listed AS (
    SELECT
        dataset, modality, mpp, spec, level, statistic, tissue_id, unnest(channel_names) AS channel_name,
        unnest(channel_values) AS channel_value,
        -- global means and standard deviations go before those of images
        statistic IN ('means', 'stds') AND level = 'image'
            AND bool_or(level = 'global') OVER (PARTITION BY dataset, modality, mpp, spec, statistic) AS stands_back
    FROM source_statistics
    INNER JOIN source_statistics_columns USING (dataset, modality, mpp, spec, level)
),
measured AS (
    SELECT dataset, modality, mpp, tissue_id, channel_name
    FROM source_images
    INNER JOIN source_panels USING (dataset, modality, tissue_id)
    INNER JOIN source_panel_columns USING (dataset, modality)
    WHERE get_bit(source_panels.measured, position) = 1
),
found AS (
    SELECT
        dataset, modality, mpp, spec, statistic, channel_name, measured.tissue_id,
        CASE
            WHEN statistic = 'upper_quantiles' AND channel_value = 0 THEN 'its upper quantile is 0'
            WHEN statistic = 'upper_quantiles' AND channel_value < 0 THEN 'its upper quantile is negative'
            WHEN statistic = 'stds' AND channel_value = 0 THEN 'it is constant: its standard deviation is 0'
            WHEN statistic = 'lower_quantiles' AND channel_value <= -1 AND spec LIKE 'quantile\_clipping\_log1p/%' ESCAPE '\'
                THEN 'its lower quantile is -1 or less, where log1p has no value'
            WHEN NOT isnan(channel_value) AND abs(channel_value) > 3.4028235e38
                THEN 'its ' || statistic || ' are infinite or beyond float32'
            WHEN level = 'global' AND (channel_value IS NULL OR isnan(channel_value))
                THEN 'its ' || statistic || ' are NaN'
        END AS reason,
        -- a spec that answers what becomes of such channels says so by a bound of 0
        bool_or(statistic = 'upper_quantiles' AND channel_value = 0 AND spec LIKE '%/uq\_%\_zq\_%' ESCAPE '\') OVER (
            PARTITION BY dataset, modality, mpp, spec, channel_name, measured.tissue_id
        ) AS left_out
    FROM listed
    INNER JOIN measured USING (dataset, modality, mpp, channel_name)
    WHERE (level = 'global' OR listed.tissue_id = measured.tissue_id) AND NOT stands_back
)
SELECT
    dataset,               -- name of the dataset's folder
    modality,              -- multiplex modality
    mpp,                   -- resolution, microns per pixel
    spec,                  -- method and quantiles
    statistic,             -- which table
    channel_name AS name,  -- the channel
    'is dropped from samples of ' || count(*) || if(count(*) = 1, ' tissue', ' tissues') || ' (' ||
        array_to_string(list_sort(list(tissue_id))[:3], ', ') || if(count(*) > 3, ', ...', '') || '), because '
        || reason AS problem  -- what
FROM found
WHERE reason IS NOT NULL AND NOT left_out
GROUP BY dataset, modality, mpp, spec, statistic, channel_name, reason
ORDER BY dataset, modality, mpp, spec, statistic, name, problem;
