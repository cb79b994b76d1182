-- purpose: which channels were measured in which tissue
-- grain:   dataset, modality, tissue_id, channel_name
-- source:  <modality>/channels_per_tissue.parquet, one column per channel, unpivoted; without it the panel and images
-- A cohort without the file: every channel of its panel counts as measured in every tissue that has an image.
CREATE VIEW channels_per_tissue AS
SELECT
    dataset,       -- name of the dataset's folder
    modality,      -- imc, codex, cycif or mibi
    tissue_id,     -- tissue
    channel_name,  -- name of the column, exactly as in the file
    get_bit(measured, position) = 1 AS measured  -- the channel was measured in this tissue
FROM source_panels
INNER JOIN source_panel_columns USING (dataset, modality);
