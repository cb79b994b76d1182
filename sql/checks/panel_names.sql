-- purpose:  channels.parquet and channels_per_tissue.parquet name the same channels.
-- severity: error
-- remedy:   Make the two tables agree.
-- file:     panels
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_channels, source_panel_columns
WITH listed AS (
    SELECT dataset, modality, channel_name, count(*) AS n FROM source_channels GROUP BY ALL
),
columns_of AS (
    SELECT dataset, modality, channel_name
    FROM source_panel_columns
),
-- a modality with one table only has nothing to contradict
in_both AS (
    SELECT DISTINCT dataset, modality FROM listed
    INTERSECT
    SELECT DISTINCT dataset, modality FROM columns_of
)
SELECT
    dataset,                    -- name of the dataset's folder
    modality,                   -- multiplex modality
    channel_name AS name,       -- the channel
    CASE
        WHEN columns_of.dataset IS NULL THEN 'is in channels.parquet but not in channels_per_tissue.parquet'
        WHEN listed.dataset IS NULL THEN 'is in channels_per_tissue.parquet but not in channels.parquet'
        ELSE 'is in channels.parquet ' || n || ' times'
    END AS problem              -- what is wrong, as a sentence about the name
FROM listed
FULL JOIN columns_of USING (dataset, modality, channel_name)
INNER JOIN in_both USING (dataset, modality)
WHERE n IS DISTINCT FROM 1 OR columns_of.dataset IS NULL
ORDER BY dataset, modality, name;
