-- purpose:  Statistics have a column per channel of the panel.
-- severity: error
-- remedy:   Run spora-db standardize --overwrite.
-- file:     statistics
-- needs:    statistics
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_statistics, source_statistics_columns, source_channels
WITH columns_of AS (
    SELECT
        dataset, modality, mpp, spec, level,
        unnest(channel_names) AS channel_name, string_split(unnest(channel_tables), ' ') AS listed_in
    FROM source_statistics_columns
),
tables AS (
    SELECT dataset, modality, mpp, spec, level, list_sort(list(DISTINCT statistic)) AS statistics
    FROM source_statistics
    GROUP BY ALL
),
wanted AS (
    SELECT DISTINCT dataset, modality, mpp, spec, level, channel_name, statistics
    FROM tables
    INNER JOIN source_channels USING (dataset, modality)
),
compared AS (
    SELECT *, list_filter(statistics, lambda s: NOT coalesce(list_contains(listed_in, s), false)) AS absent
    FROM wanted
    FULL JOIN columns_of USING (dataset, modality, mpp, spec, level, channel_name)
)
SELECT
    dataset,               -- name of the dataset's folder
    modality,              -- multiplex modality
    mpp,                   -- resolution, microns per pixel
    spec,                  -- method and quantiles
    channel_name AS name,  -- the channel
    if(
        statistics IS NULL,
        'is a column of the ' || level || '-level tables, but no channel of channels.parquet',
        'has no column in ' || array_to_string(
            list_transform(absent, lambda s: format('{}_level_{}.parquet', level, s)), ', '
        )
    ) AS problem           -- what is wrong, as a sentence about the name
FROM compared
SEMI JOIN source_channels USING (dataset, modality)
WHERE statistics IS NULL OR len(absent) > 0
ORDER BY dataset, modality, mpp, spec, level, name;
