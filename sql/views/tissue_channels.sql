-- purpose: the channels of every tissue, where each lies in its image file, and the three channel sets
-- grain:   dataset, modality, tissue_id, channel_index
-- source:  channels and channels_per_tissue, joined by name
CREATE VIEW tissue_channels AS
WITH panel AS (
    SELECT
        dataset,
        modality,
        channel_index,
        channel_name,
        uniprot_id,
        qc_pass,
        is_nuclear_marker,
        position,
        -- the published pattern; released models depend on this set (isoforms allowed, A0A... and E9... not)
        coalesce(regexp_full_match(uniprot_id, '<published accession>'), FALSE) AS has_accession,
        -- the bits of all channels before this one in the panel
        bit_or(set_bit(CAST(repeat('0', n_columns) AS BIT), position, 1)) OVER (
            PARTITION BY dataset, modality
            ORDER BY channel_index
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS before
    FROM source_channels
    INNER JOIN source_panel_columns USING (dataset, modality, channel_name)
),
tissue_panel AS (
    SELECT
        dataset,
        modality,
        tissue_id,
        channel_index,
        channel_name,
        uniprot_id,
        qc_pass,
        is_nuclear_marker,
        has_accession,
        get_bit(source_panels.measured, position) = 1 AS measured,
        coalesce(bit_count(source_panels.measured & before), 0) AS n_measured_before
    FROM source_panels
    INNER JOIN panel USING (dataset, modality)
)
SELECT
    dataset,            -- name of the dataset's folder
    modality,           -- imc, codex, cycif or mibi
    tissue_id,          -- tissue
    channel_index,      -- position in the panel, from 0
    channel_name,       -- name within the panel
    uniprot_id,         -- accession as the file has it
    qc_pass,            -- the channel passed quality control
    is_nuclear_marker,  -- the channel shows nuclei
    measured,           -- the channel was measured in this tissue
    CASE WHEN measured THEN n_measured_before END AS page,       -- position among the measured channels, from 0
    measured AS in_complete,                                     -- in the set of all measured channels
    measured AND qc_pass AS in_qc_filtered,                      -- and passed quality control
    measured AND qc_pass AND has_accession AS in_uniprot_filtered  -- and has a UniProt accession
FROM tissue_panel;
