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
  AND (
    EXISTS(
      SELECT
        1
      FROM "images" AS "i"
      WHERE
        "i"."tissue_id" = base."tissue_id" AND "modality" = 'he'
    )
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
