-- purpose: the channels that names of markers mean, panel by panel: the one rule, for macros and for SporaQuery.channels
-- grain:   name, dataset, modality, channel_index (NULL: no panel knows the name); in each panel a name means, whichever
--          is found first,
--          1. the channels with that UniProt accession (without an isoform: of all isoforms),
--          2. the channel of exactly that name,
--          3. the channel of that name in another letter case,
--          4. the first of the name's aliases that the panel holds, by the same rule,
--          5. the channels of the protein that the name stands for in other panels: CD8a here is CD8 there
-- source:  source_channels, source_panel_columns, and what the catalog was told of names: source_aliases, source_nuclear
-- A macro is pasted into its caller: inner names must not be names that a caller uses, hence the underscores and "main".
CREATE MACRO marker_channels(wanted) AS TABLE
WITH channel_ AS (
    SELECT
        dataset, modality, channel_index, channel_name, accession, position, n_columns,
        -- the accession without its isoform; what is no accession is no protein
        CASE
            WHEN regexp_full_match(
                accession, '<uniprot accession>'
            ) THEN split_part(accession, '-', 1)
        END AS protein
    FROM (
        SELECT
            * EXCLUDE (uniprot_id),
            CASE WHEN is_nuclear_marker AND nuclear IS NOT NULL THEN nuclear ELSE uniprot_id END AS accession
        FROM main.source_channels
        LEFT JOIN main.source_panel_columns USING (dataset, modality, channel_name)
        CROSS JOIN main.source_nuclear
    ) AS effective_
),
name_ AS (
    SELECT DISTINCT name FROM (SELECT unnest(wanted) AS name) AS given_ WHERE name IS NOT NULL
),
-- the name itself, then what it is an alias of, in order of preference
spelling_ AS (
    SELECT name, name AS spelling, 0 AS rank FROM name_
    UNION ALL
    SELECT name, marker AS spelling, rank FROM name_ INNER JOIN main.source_aliases ON lower(alias) = lower(name)
),
-- the channels that say which protein a spelling stands for: those of exactly that name where there are any
saying_ AS (
    SELECT spelling, dataset, modality, channel_name, accession, protein
    FROM (SELECT DISTINCT spelling FROM spelling_) AS distinct_
    INNER JOIN channel_ ON lower(channel_name) = lower(spelling)
    QUALIFY channel_name = spelling OR NOT bool_or(channel_name = spelling) OVER (PARTITION BY spelling)
),
protein_ AS (
    SELECT
        spelling, list(DISTINCT protein) AS proteins,
        list(DISTINCT format('''{}'' ({}) in {}/{}', channel_name, accession, dataset, modality)) AS said_by
    FROM saying_
    WHERE protein IS NOT NULL
    GROUP BY spelling
),
hit_ AS (
    SELECT
        name, dataset, modality, channel_index, channel_name, accession, position, n_columns, proteins, said_by,
        CASE
            WHEN spelling IN (accession, protein) THEN 1
            WHEN spelling = channel_name THEN 2
            WHEN lower(spelling) = lower(channel_name) THEN 3
            WHEN list_contains(proteins, protein) THEN 5
        END AS way,
        CASE WHEN rank = 0 AND way = 5 THEN [2147483647, way] ELSE [rank, way] END AS step
    FROM spelling_
    LEFT JOIN protein_ USING (spelling)
    CROSS JOIN channel_
    WHERE way IS NOT NULL
    QUALIFY step = min(step) OVER (PARTITION BY name, dataset, modality)
)
SELECT
    name_.name,         -- the name, as it was given
    dataset,            -- name of the dataset's folder
    modality,           -- imc, codex, cycif or mibi
    channel_index,      -- position in the panel, from 0
    channel_name,       -- name within the panel
    accession,          -- accession in effect: histone H3 for nuclear markers, if the catalog was told so
    position,           -- position among the columns of channels_per_tissue.parquet
    n_columns,          -- how many these are
    way,                -- by which step of the rule it was found; 5 also for the protein of an alias
    -- what else the name may mean here: NULL where nothing
    CASE
        WHEN way = 3 AND count(*) OVER (PARTITION BY name_.name, dataset, modality) > 1 THEN []
        WHEN way = 5 AND len(proteins) > 1 THEN list_sort(said_by)
    END AS candidates
FROM name_
LEFT JOIN hit_ ON hit_.name = name_.name;
