-- purpose: what is known about every tissue: clinical columns of all cohorts by name, types reconciled
-- grain:   dataset, tissue_id, modality
-- source:  metadata/tissues.parquet (a row without modality stands for every modality with an image of the tissue)
CREATE VIEW tissues AS
SELECT
    dataset,      -- name of the dataset's folder
    tissue_id,    -- tissue; also the stem of its image and mask files
    modality,     -- he, ihc_<marker>, imc, codex, cycif or mibi, spelled as its folder
    patient_id,   -- patient, always text: 170 and 170.0 are '170'
    specimen_id,  -- specimen, always text
    split,        -- train, val, test or as the cohort names them
    * EXCLUDE (dataset, tissue_id, modality, patient_id, specimen_id, split)  -- the cohorts' own columns; NULL where absent
FROM source_tissues;
