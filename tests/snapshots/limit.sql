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
LIMIT 11
