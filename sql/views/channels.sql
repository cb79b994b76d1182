-- purpose: the panel of every multiplex modality
-- grain:   dataset, modality, channel_index
-- source:  <modality>/channels.parquet; the order of its rows is the panel's order
CREATE VIEW channels AS
SELECT
    dataset,            -- name of the dataset's folder
    modality,           -- imc, codex, cycif or mibi
    channel_index,      -- position in the panel, from 0
    channel_name,       -- name within the panel; upper and lower case differ
    uniprot_id,         -- accession as the file has it: NULL, with isoform, or junk
    qc_pass,            -- the channel passed quality control
    is_nuclear_marker,  -- the channel shows nuclei
    * EXCLUDE (dataset, modality, channel_index, channel_name, uniprot_id, qc_pass, is_nuclear_marker)  -- own columns
FROM source_channels;
