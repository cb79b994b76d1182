SELECT
  "dataset",
  "modality",
  "mpp",
  "strategy",
  "tile_size",
  "tissue_id",
  "tile_id",
  "row",
  "col"
FROM (
  SELECT
    "base"."dataset",
    "base"."modality",
    "base"."mpp",
    "base"."strategy",
    "base"."tile_size",
    "base"."tissue_id",
    "base"."tile_id",
    "base"."row",
    "base"."col",
    MD5(
      CONCAT_WS('|', 'spora-db/1', CAST(0 AS TEXT), base.dataset, base.tissue_id, base.tile_id)
    ) AS sample_key,
    "base"."age" AS by_0
  FROM tiles AS base
  WHERE
    base.modality = 'imc'
    AND base.mpp = 1.0
    AND base.tile_size = 32
    AND base.strategy = 'default'
) AS capped
QUALIFY
  ROW_NUMBER() OVER (
    PARTITION BY by_0
    ORDER BY sample_key, "dataset", "modality", "mpp", "strategy", "tile_size", "tissue_id", "tile_id", "row", "col"
  ) <= CASE CAST(by_0 AS TEXT) WHEN '50' THEN 3 ELSE 0 END
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
