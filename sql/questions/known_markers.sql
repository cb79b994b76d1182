-- purpose: The names by which a marker may be called, offered where one is unknown.
-- grain:   one row per name
-- source:  source_channels, source_aliases
SELECT channel_name FROM source_channels
UNION
SELECT uniprot_id FROM source_channels WHERE uniprot_id IS NOT NULL
UNION
SELECT alias FROM source_aliases
