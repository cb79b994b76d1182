-- purpose:  Channel names differ by more than upper and lower case.
-- severity: warning
-- remedy:   Rename one; both can be used, but are easily mistaken.
-- file:     channels
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_channels
SELECT
    dataset,                                         -- name of the dataset's folder
    modality,                                        -- multiplex modality
    string_agg(channel_name, ', ' ORDER BY channel_index) AS name,  -- the channels
    'differ in upper and lower case only' AS problem  -- what is wrong, as a sentence about the name
FROM source_channels
GROUP BY dataset, modality, lower(channel_name)
HAVING count(DISTINCT channel_name) > 1
ORDER BY dataset, modality, name;
