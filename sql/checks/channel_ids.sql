-- purpose:  A uniprot_id is a UniProt accession or absent.
-- severity: note
-- remedy:   Correct it; the channel is in no set of UniProt channels now.
-- file:     channels
-- grain:    one row per contradiction; no rows where all is well
-- source:   source_channels
SELECT
    dataset,                                                      -- name of the dataset's folder
    modality,                                                     -- multiplex modality
    channel_name AS name,                                         -- the channel
    'has the uniprot_id ' || uniprot_id || ', no UniProt accession' AS problem  -- what is wrong, about the name
FROM source_channels
WHERE NOT regexp_full_match(
    uniprot_id,
    '<uniprot accession>'
)
ORDER BY dataset, modality, channel_index;
