-- purpose: clipping bounds, means and standard deviations of every spec, long form
-- grain:   dataset, modality, mpp, spec, level, tissue_id, channel_name
-- source:  <modality>/<mpp>/standardization/<spec>/{image,global}_level_*.parquet, one column per channel, unpivoted
CREATE VIEW standardization_stats AS
WITH tissue_statistics AS (
    SELECT
        dataset,
        modality,
        mpp,
        spec,
        level,
        tissue_id,
        any_value(channel_values) FILTER (WHERE statistic = 'lower_quantiles') AS lowers,
        any_value(channel_values) FILTER (WHERE statistic = 'upper_quantiles') AS uppers,
        any_value(channel_values) FILTER (WHERE statistic = 'means') AS means,
        any_value(channel_values) FILTER (WHERE statistic = 'stds') AS stds
    FROM source_statistics
    GROUP BY dataset, modality, mpp, spec, level, tissue_id
)
SELECT
    dataset,       -- name of the dataset's folder
    modality,      -- imc, codex, cycif or mibi
    mpp,           -- resolution, microns per pixel
    spec,          -- method and quantiles, such as quantile_clipping/uq_0.99_image
    level,         -- image (a row per tissue) or global (one for all tissues) of the tables the figures stand in
    tissue_id,     -- tissue; NULL at global level
    unnest(channel_names) AS channel_name,  -- name of the column, exactly as in the file
    unnest(channel_tables) AS tables,       -- which tables have a column of it, such as upper_quantiles means stds
    unnest(lowers) AS lower,                -- clipping bound, intensity; NULL where there is none
    unnest(uppers) AS upper,                -- clipping bound, intensity
    unnest(means) AS mean,                  -- mean of the transformed pixels
    unnest(stds) AS std                     -- population standard deviation of the transformed pixels
FROM tissue_statistics
INNER JOIN source_statistics_columns USING (dataset, modality, mpp, spec, level);
