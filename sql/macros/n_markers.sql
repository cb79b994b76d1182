-- purpose: how many of the wanted markers were measured in a tissue
-- grain:   one number per call; in each panel a marker is, whichever is found first, an accession (without an isoform:
--          of all isoforms), a channel name, a channel name in another case, one of its aliases, the protein of that
--          name in other panels; a name that no panel knows counts as not measured; one that may mean several channels
--          is an error
-- source:  channels, channels_per_tissue and the aliases that the catalog was given
-- A macro is pasted into its caller: inner names must not be names that a caller uses, hence the underscores and "main".
CREATE MACRO n_markers(of_dataset, of_modality, of_tissue_id, wanted) AS (
    SELECT count(*)
    FROM (
        SELECT
            dataset_, modality_, name_,
            CASE
                WHEN any_value(way_) = 3 AND count(*) > 1
                    OR any_value(way_) = 4 AND len(list_distinct(any_value(proteins_))) > 1
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
                    WHEN wanted_.text_ IN (uniprot_id, split_part(uniprot_id, '-', 1)) THEN 1
                    WHEN wanted_.text_ = channel_name THEN 2
                    WHEN lower(wanted_.text_) = lower(channel_name) THEN 3
                    WHEN list_contains(wanted_.proteins_, split_part(uniprot_id, '-', 1)) THEN 4
                END AS way_,
                -- the name itself, then what it is an alias of, then the protein that the name is in other panels
                CASE WHEN wanted_.rank_ = 0 AND way_ = 4 THEN [2147483647, 4] ELSE [wanted_.rank_, way_] END AS step_
            FROM main.source_channels
            INNER JOIN main.source_panel_columns USING (dataset, modality, channel_name)
            CROSS JOIN (
                SELECT
                    named_.name_, named_.text_, named_.rank_,
                    coalesce(
                        list(split_part(uniprot_id, '-', 1)) FILTER (channel_name = named_.text_),
                        list(split_part(uniprot_id, '-', 1))
                    ) AS proteins_
                FROM (
                    SELECT name_, name_ AS text_, 0 AS rank_
                    FROM (SELECT DISTINCT unnest(wanted) AS name_) AS names_
                    UNION ALL
                    SELECT name_, marker AS text_, rank AS rank_
                    FROM (SELECT DISTINCT unnest(wanted) AS name_) AS names_
                    INNER JOIN main.source_aliases ON alias = lower(name_)
                ) AS named_
                LEFT JOIN main.source_channels
                    ON lower(channel_name) = lower(named_.text_)
                    AND regexp_full_match(
                        uniprot_id,
                        '([OPQ][0-9][A-Z0-9]{3}[0-9]|[A-NR-Z][0-9]([A-Z][A-Z0-9]{2}[0-9]){1,2})(-[0-9]+)?'
                    )
                GROUP BY named_.name_, named_.text_, named_.rank_
            ) AS wanted_
            WHERE way_ IS NOT NULL
            QUALIFY step_ = min(step_) OVER (PARTITION BY dataset_, modality_, wanted_.name_)
        ) AS step_of_
        GROUP BY dataset_, modality_, name_
    ) AS marker_
    INNER JOIN (
        SELECT dataset AS dataset_, modality AS modality_, tissue_id AS tissue_id_, measured AS measured_
        FROM main.source_panels
    ) AS panel_
        ON panel_.dataset_ = marker_.dataset_ AND panel_.modality_ = marker_.modality_
    WHERE panel_.dataset_ = of_dataset
        AND panel_.modality_ = of_modality
        AND panel_.tissue_id_ = of_tissue_id
        AND bit_count(panel_.measured_ & marker_.columns_) > 0
);
