SELECT
  "base"."dataset",
  "base"."modality",
  "base"."mpp",
  "base"."strategy",
  "base"."tile_size",
  "base"."tissue_id",
  "base"."tile_id",
  "base"."row",
  "base"."col"
FROM tiles AS base
WHERE
  base.modality = 'imc'
  AND base.mpp = 1.0
  AND base.tile_size = 32
  AND base.strategy = 'default'
  AND EXISTS(
    SELECT
      1
    FROM tissue_channels AS c
    WHERE
      (
        (
          c.dataset = base.dataset AND c.tissue_id = base.tissue_id AND c.measured
        )
        AND c.modality = 'imc'
        AND (
          c.qc_pass
          AND REGEXP_FULL_MATCH(c.uniprot_id, '[OPQ][0-9][A-Z0-9]{3}[0-9](-[0-9]+)?')
        )
      )
      AND c.channel_name = 'CD3e'
  )
  AND EXISTS(
    SELECT
      1
    FROM tissue_channels AS c
    WHERE
      (
        (
          c.dataset = base.dataset AND c.tissue_id = base.tissue_id AND c.measured
        )
        AND c.modality = 'imc'
        AND (
          c.qc_pass
          AND REGEXP_FULL_MATCH(c.uniprot_id, '[OPQ][0-9][A-Z0-9]{3}[0-9](-[0-9]+)?')
        )
      )
      AND c.channel_name = 'CD8'
  )
ORDER BY
  "dataset",
  "modality",
  "mpp",
  "strategy",
  "tile_size",
  "tissue_id",
  "tile_id",
  "row",
  "col"
