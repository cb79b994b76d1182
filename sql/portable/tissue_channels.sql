-- purpose: the channels of every tissue, its page and the three channel sets, for engines other than DuckDB
-- grain:   dataset, modality, tissue_id, channel_index
-- source:  as views/tissue_channels.sql, from the views channels and channels_per_tissue; DuckDB's counts bits
CREATE VIEW tissue_channels AS
SELECT
    c.dataset AS dataset,                      -- name of the dataset's folder
    c.modality AS modality,                    -- imc, codex, cycif or mibi
    m.tissue_id AS tissue_id,                  -- tissue
    c.channel_index AS channel_index,          -- position in the panel, from 0
    c.channel_name AS channel_name,            -- name within the panel
    c.uniprot_id AS uniprot_id,                -- accession as the file has it
    c.qc_pass AS qc_pass,                      -- the channel passed quality control
    c.is_nuclear_marker AS is_nuclear_marker,  -- the channel shows nuclei
    m.measured AS measured,                    -- the channel was measured in this tissue
    CASE
        WHEN m.measured THEN CAST(
            sum(CASE WHEN m.measured THEN 1 ELSE 0 END) OVER (
                PARTITION BY c.dataset, c.modality, m.tissue_id
                ORDER BY c.channel_index NULLS FIRST
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ) AS BIGINT
        ) - 1
    END AS page,                                     -- position among the measured channels, from 0
    m.measured AS in_complete,                       -- in the set of all measured channels
    m.measured AND c.qc_pass AS in_qc_filtered,      -- and passed quality control
    m.measured AND c.qc_pass AND coalesce(
        regexp_full_match(c.uniprot_id, '<published accession>'), FALSE
    ) AS in_uniprot_filtered                         -- and has a UniProt accession
FROM channels AS c
INNER JOIN channels_per_tissue AS m
    ON m.dataset = c.dataset AND m.modality = c.modality AND m.channel_name = c.channel_name;
