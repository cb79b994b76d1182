-- purpose: every channel of the panel has a column in the tables of statistics, and every column is a channel
-- grain:   one row per contradiction; no rows where all is well
-- source:  source_statistics_columns, source_channels
WITH columns_of AS (
    SELECT dataset, modality, mpp, spec, level, unnest(channel_names) AS channel_name
    FROM source_statistics_columns
),
wanted AS (
    SELECT DISTINCT tables.dataset, tables.modality, mpp, spec, level, channel_name
    FROM source_statistics_columns AS tables
    INNER JOIN source_channels USING (dataset, modality)
)
SELECT
    dataset,               -- name of the dataset's folder
    modality,              -- multiplex modality
    mpp,                   -- resolution, microns per pixel
    spec,                  -- method and quantiles
    channel_name AS name,  -- the channel
    CASE
        WHEN columns_of.dataset IS NULL THEN 'has no column in the ' || level || '-level tables'
        ELSE 'is a column of the ' || level || '-level tables, but no channel of channels.parquet'
    END AS problem         -- what is wrong, as a sentence about the name
FROM wanted
FULL JOIN columns_of USING (dataset, modality, mpp, spec, level, channel_name)
SEMI JOIN source_channels USING (dataset, modality)
WHERE wanted.dataset IS NULL OR columns_of.dataset IS NULL
ORDER BY dataset, modality, mpp, spec, level, name;
