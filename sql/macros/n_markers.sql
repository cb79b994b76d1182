-- purpose: how many of the wanted markers were measured in a tissue
-- grain:   one number per call; in each panel a marker is, whichever is found first, an accession (without an isoform:
--          of all isoforms), a channel name, a channel name in another case, the protein of that name in other panels;
--          a name that no panel knows counts as not measured; one that may mean several channels is an error
-- source:  channels and channels_per_tissue
-- A macro's arguments are pasted into its body: inner names must not be names that a caller uses, hence the underscores.
CREATE MACRO n_markers(of_dataset, of_modality, of_tissue_id, wanted) AS (
    SELECT count(*)
    FROM (
        SELECT
            dataset_, modality_, name_,
            CASE
                WHEN any_value(step_) = 3 AND count(*) > 1
                    OR any_value(step_) = 4 AND len(list_distinct(any_value(proteins_))) > 1
                    THEN error(
                        'Marker ''' || name_ || ''' is ambiguous in ' || dataset_ || '/' || modality_ || '; it may mean: '
                        || string_agg(channel_ || coalesce(' (' || accession_ || ')', ''), ', ' ORDER BY channel_)
                        || '. Give the accession, or the name in the right letter case.'
                    )
                ELSE bit_or(set_bit(CAST(repeat('0', width_) AS BIT), position_, 1))
            END AS columns_
        FROM (
            SELECT
                dataset AS dataset_, modality AS modality_, wanted_.name_, n_columns AS width_, position AS position_,
                channel_name AS channel_, uniprot_id AS accession_, wanted_.proteins_,
                CASE
                    WHEN wanted_.name_ IN (uniprot_id, split_part(uniprot_id, '-', 1)) THEN 1
                    WHEN wanted_.name_ = channel_name THEN 2
                    WHEN lower(wanted_.name_) = lower(channel_name) THEN 3
                    WHEN list_contains(wanted_.proteins_, split_part(uniprot_id, '-', 1)) THEN 4
                END AS step_
            FROM source_channels
            INNER JOIN source_panel_columns USING (dataset, modality, channel_name)
            CROSS JOIN (
                SELECT
                    named_.name_,
                    coalesce(
                        list(split_part(uniprot_id, '-', 1)) FILTER (channel_name = named_.name_),
                        list(split_part(uniprot_id, '-', 1))
                    ) AS proteins_
                FROM (SELECT DISTINCT unnest(wanted) AS name_) AS named_
                LEFT JOIN source_channels
                    ON lower(channel_name) = lower(named_.name_)
                    AND regexp_full_match(
                        uniprot_id,
                        '([OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2})(-[0-9]+)?'
                    )
                GROUP BY named_.name_
            ) AS wanted_
            WHERE step_ IS NOT NULL
            QUALIFY step_ = min(step_) OVER (PARTITION BY dataset_, modality_, wanted_.name_)
        ) AS step_of_
        GROUP BY dataset_, modality_, name_
    ) AS marker_
    INNER JOIN (
        SELECT dataset AS dataset_, modality AS modality_, tissue_id AS tissue_id_, measured AS measured_
        FROM source_panels
    ) AS panel_
        ON panel_.dataset_ = marker_.dataset_ AND panel_.modality_ = marker_.modality_
    WHERE panel_.dataset_ = of_dataset
        AND panel_.modality_ = of_modality
        AND panel_.tissue_id_ = of_tissue_id
        AND bit_count(panel_.measured_ & marker_.columns_) > 0
);
