-- purpose: in how many tissues of each cohort a marker was measured
-- grain:   uniprot_id, dataset, modality
-- source:  tissue_channels, markers
SELECT
    t.uniprot_id,                                      -- accession
    t.dataset,                                         -- cohort
    t.modality,                                        -- modality
    min(t.channel_name) AS channel_name,               -- the cohort's name for it
    count(*) FILTER (WHERE t.measured) AS n_measured,  -- tissues in which it was measured
    count(*) AS n_tissues,                             -- tissues of the panel
    count(*) FILTER (WHERE t.measured) / count(*) AS measured_fraction  -- share of the tissues, 0..1
FROM (
    SELECT
        c.dataset, c.modality, c.tissue_id, c.uniprot_id,
        min(c.channel_name) AS channel_name, bool_or(c.measured) AS measured
    FROM tissue_channels AS c
    INNER JOIN markers AS m ON m.uniprot_id = c.uniprot_id
    GROUP BY c.dataset, c.modality, c.tissue_id, c.uniprot_id
) AS t
GROUP BY t.uniprot_id, t.dataset, t.modality
ORDER BY t.uniprot_id, t.dataset, t.modality;
