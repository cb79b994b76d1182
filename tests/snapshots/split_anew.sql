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
FROM (
  SELECT
    *
    EXCLUDE (split),
    CASE
      WHEN (
        (
          CAST('0x' || SUBSTR(
            MD5(
              CONCAT_WS('|', 'spora-db/1', CAST(1 AS TEXT), dataset, CAST("patient_id" AS TEXT))
            ),
            1,
            13
          ) AS BIGINT) + 0.5
        ) / 4503599627370496.0
      ) < 0.5
      THEN 'train'
      ELSE 'test'
    END AS split
  FROM tiles AS rows
) AS base
WHERE
  base.modality = 'imc'
  AND base.mpp = 1.0
  AND base.tile_size = 32
  AND base.strategy = 'default'
  AND base.split = 'train'
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
