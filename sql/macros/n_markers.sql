-- purpose: how many of the wanted markers were measured in a tissue
-- grain:   one number per call; a name means what it means in `SporaQuery.channels`, and two names of one marker are two;
--          one that no panel of the lake knows is an error, and one that may mean several channels of a panel;
--          so is a dataset or modality that the lake does not have
-- source:  marker_channels, source_panels, source_datasets, tissues
-- A macro is pasted into its caller: inner names must not be names that a caller uses, hence the underscores and "main".
CREATE MACRO n_markers(of_dataset, of_modality, of_tissue_id, wanted) AS (
    CASE
        WHEN of_dataset NOT IN (SELECT dataset FROM main.source_datasets)
            THEN error('Dataset ''' || of_dataset || ''' is not in the lake.')
        WHEN of_modality NOT IN (
            SELECT unnest(modalities) FROM main.source_datasets
            UNION ALL
            SELECT modality FROM main.tissues WHERE modality IS NOT NULL
        )
            THEN error('Modality ''' || of_modality || ''' is not in the lake.')
        ELSE (
            SELECT count(*)
            FROM (
                SELECT
                    name_,
                    CASE WHEN modality_ IS NULL THEN error('Marker ''' || name_ || ''' is in no panel.') ELSE modality_ END
                        AS modality_,
                    map(
                        list(dataset_ ORDER BY dataset_) FILTER (dataset_ IS NOT NULL),
                        list(columns_ ORDER BY dataset_) FILTER (dataset_ IS NOT NULL)
                    ) AS columns_,
                    min(open_) AS open_
                FROM (
                    SELECT
                        name AS name_, dataset AS dataset_, modality AS modality_,
                        bit_or(set_bit(CAST(repeat('0', n_columns) AS BIT), position, 1)) AS columns_,
                        CASE WHEN count(candidates) > 0 THEN
                            'Marker ''' || name || ''' is ambiguous in ' || dataset || '/' || modality || '; it may mean: '
                            || string_agg(channel_name || coalesce(' (' || accession || ')', ''), ', ' ORDER BY channel_name)
                            || '. Give the accession, or the name in the right letter case.'
                        END AS open_
                    FROM marker_channels(wanted)
                    GROUP BY name, dataset, modality
                ) AS of_panel_
                GROUP BY name_, modality_
            ) AS marker_
            INNER JOIN (
                SELECT dataset AS dataset_, modality AS modality_, tissue_id AS tissue_id_, measured AS measured_
                FROM main.source_panels
            ) AS panel_
                ON panel_.modality_ = marker_.modality_
            WHERE panel_.dataset_ = of_dataset
                AND panel_.modality_ = of_modality
                AND panel_.tissue_id_ = of_tissue_id
                AND bit_count(
                    panel_.measured_ & CASE
                        -- the call's own modality, so that nothing is raised for rows that are not asked about
                        WHEN marker_.modality_ = of_modality AND marker_.open_ IS NOT NULL THEN error(marker_.open_)
                        ELSE map_extract_value(marker_.columns_, panel_.dataset_)
                    END
                ) > 0
        )
    END
);
