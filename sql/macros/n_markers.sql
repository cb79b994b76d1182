-- purpose: how many of the wanted markers were measured in a tissue
-- grain:   one number per call; a marker is an accession, or a channel name in any case
-- source:  channels and channels_per_tissue
-- A macro's arguments are pasted into its body: inner names must not be names that a caller uses, hence the underscores.
CREATE MACRO n_markers(of_dataset, of_modality, of_tissue_id, wanted) AS (
    SELECT count(DISTINCT wanted_.name_)
    FROM (SELECT dataset AS dataset_, modality AS modality_, tissue_id AS tissue_id_, measured AS measured_ FROM source_panels)
        AS panel_
    INNER JOIN (
        SELECT dataset AS channel_dataset_, modality AS channel_modality_, position AS position_,
            channel_name AS channel_name_, uniprot_id AS uniprot_id_
        FROM source_channels
        INNER JOIN source_panel_columns USING (dataset, modality, channel_name)
    ) AS channel_
        ON panel_.dataset_ = channel_.channel_dataset_ AND panel_.modality_ = channel_.channel_modality_
    INNER JOIN (SELECT unnest(wanted) AS name_) AS wanted_
        ON lower(channel_.channel_name_) = lower(wanted_.name_) OR channel_.uniprot_id_ = wanted_.name_
    WHERE panel_.dataset_ = of_dataset
        AND panel_.modality_ = of_modality
        AND panel_.tissue_id_ = of_tissue_id
        AND get_bit(panel_.measured_, channel_.position_) = 1
);
