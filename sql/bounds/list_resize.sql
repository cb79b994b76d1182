-- purpose: a list of another length, up to 100,000 elements
-- grain:   one answer per call
-- source:  DuckDB's own list_resize, which no interrupt ends within a call and whose memory no limit counts
-- names:   list_resize, array_resize
CREATE MACRO "list_resize"("list", "size") AS system.main.list_resize(
    "list",
    CASE
        WHEN "size" > 100000 THEN error('A call of list_resize makes more than 100,000 elements. Ask for fewer.')
        ELSE "size"
    END
),

("list", "size", "value") AS system.main.list_resize(
    "list",
    CASE
        WHEN "size" > 100000 THEN error('A call of list_resize makes more than 100,000 elements. Ask for fewer.')
        WHEN CAST("size" AS DOUBLE) * strlen(CAST("value" AS VARCHAR)) > 10000000
            THEN error('A call of list_resize makes more than 10,000,000 characters. Ask for fewer elements.')
        ELSE "size"
    END,
    "value"
);
