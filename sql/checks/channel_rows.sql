-- purpose:  Rows of channels.parquet have a name and qc_pass, names once.
-- severity: error
-- remedy:   Correct the file.
-- file:     channels
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_channels, source_panel_columns
SELECT
    dataset,               -- name of the dataset's folder
    modality,              -- multiplex modality
    channel_name AS name,  -- the channel
    CASE
        WHEN coalesce(trim(channel_name), '') = ''
            THEN 'is a missing channel_name in row ' || min(channel_index) || ' of channels.parquet'
        WHEN count(*) > 1 THEN 'is in channels.parquet ' || count(*) || ' times'
        ELSE 'has no qc_pass in channels.parquet'
    END AS problem         -- what is wrong, as a sentence about the name
FROM source_channels
-- repeated names of a modality with both tables are found by panel_names
LEFT JOIN (SELECT DISTINCT dataset, modality, TRUE AS has_columns FROM source_panel_columns) USING (dataset, modality)
GROUP BY dataset, modality, channel_name
HAVING coalesce(trim(channel_name), '') = '' OR bool_or(qc_pass IS NULL)
    OR (count(*) > 1 AND bool_and(has_columns IS NULL))
ORDER BY dataset, modality, name;
