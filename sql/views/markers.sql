-- purpose: the proteins measured over all cohorts, whatever each panel calls them
-- grain:   uniprot_id
-- source:  tissue_channels; channels without an accession of either pattern are no markers
CREATE VIEW markers AS
WITH panel AS (
    SELECT
        dataset,
        modality,
        channel_name,
        uniprot_id,
        count(*) OVER (PARTITION BY dataset, uniprot_id) AS n_channels  -- of the protein in the cohort, mostly one
    FROM source_channels
    WHERE regexp_full_match(
        uniprot_id,
        '<uniprot accession>'
    )
),
measuring AS (  -- telling tissues apart takes 2 s for 50,000 of 150 channels: only where two channels may share one
    SELECT panel.uniprot_id
    FROM panel
    INNER JOIN channels_per_tissue AS tissue_channel USING (dataset, modality, channel_name)
    WHERE tissue_channel.measured AND panel.n_channels = 1
    UNION ALL
    SELECT uniprot_id
    FROM (
        SELECT DISTINCT panel.uniprot_id, panel.dataset, tissue_channel.tissue_id
        FROM panel
        INNER JOIN channels_per_tissue AS tissue_channel USING (dataset, modality, channel_name)
        WHERE tissue_channel.measured AND panel.n_channels > 1
    )
),
counted AS (
    SELECT uniprot_id, count(*) AS n_tissues FROM measuring GROUP BY uniprot_id
)
SELECT
    panel.uniprot_id,                                                         -- accession, isoform included
    list_sort(list(DISTINCT panel.channel_name)) AS names,                    -- names that panels use for it, sorted
    list_sort(list(DISTINCT panel.dataset)) AS datasets,                      -- cohorts with it in a panel, sorted
    list_sort(list(DISTINCT panel.modality)) AS modalities,                   -- modalities with it in a panel, sorted
    coalesce(any_value(counted.n_tissues), 0) AS n_tissues                    -- tissues in which it was measured
FROM panel
LEFT JOIN counted USING (uniprot_id)
GROUP BY panel.uniprot_id
ORDER BY panel.uniprot_id;
