-- purpose: the proteins measured over all cohorts, whatever each panel calls them
-- grain:   uniprot_id
-- source:  channels and channels_per_tissue; channels without an accession of either pattern are no markers
CREATE VIEW markers AS
WITH panel AS (
    SELECT
        row_number() OVER () AS number,
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
placed AS (
    SELECT * FROM panel INNER JOIN source_panel_columns USING (dataset, modality, channel_name)
),
measuring AS (  -- of 7.5 million channels of tissues, to count by a number takes 0.1 s, by texts 0.4
    SELECT placed.number, count(*) AS n_tissues
    FROM placed
    INNER JOIN source_panels USING (dataset, modality)
    WHERE placed.n_channels = 1 AND get_bit(source_panels.measured, placed.position) = 1
    GROUP BY placed.number
),
counted AS (
    SELECT panel.uniprot_id, measuring.n_tissues FROM panel INNER JOIN measuring USING (number)
    UNION ALL
    SELECT placed.uniprot_id, count(DISTINCT (placed.dataset, source_panels.tissue_id)) AS n_tissues
    FROM placed
    INNER JOIN source_panels USING (dataset, modality)
    WHERE placed.n_channels > 1 AND get_bit(source_panels.measured, placed.position) = 1
    GROUP BY placed.uniprot_id
),
summed AS (
    SELECT uniprot_id, CAST(sum(n_tissues) AS BIGINT) AS n_tissues FROM counted GROUP BY uniprot_id
)
SELECT
    panel.uniprot_id,                                                         -- accession, isoform included
    list_sort(list(DISTINCT panel.channel_name)) AS names,                    -- names that panels use for it, sorted
    list_sort(list(DISTINCT panel.dataset)) AS datasets,                      -- cohorts with it in a panel, sorted
    list_sort(list(DISTINCT panel.modality)) AS modalities,                   -- modalities with it in a panel, sorted
    coalesce(any_value(summed.n_tissues), 0) AS n_tissues                     -- tissues in which it was measured
FROM panel
LEFT JOIN summed USING (uniprot_id)
GROUP BY panel.uniprot_id
ORDER BY panel.uniprot_id;
