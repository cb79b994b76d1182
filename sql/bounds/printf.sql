-- purpose: values in a text, up to 99,999 characters wide each, the width written in the text
-- grain:   one answer per call
-- source:  DuckDB's own printf, which no interrupt ends within a call and whose memory no limit counts
-- DuckDB has no macros of any number of values.
CREATE MACRO bounded_printf_(text_) AS (
    CASE
        WHEN regexp_matches(system.main."replace"(text_, '%%', ''), '%[-+ #0,'']*([0-9]{6,}|[0-9]*[.][0-9]{6,}|[*]|[0-9]*[.][*])')
            THEN error('A call of printf makes more than 100,000 characters, or says how many elsewhere. Write a smaller width in the text.')
        ELSE text_
    END
);

CREATE MACRO "printf"(text_) AS system.main.printf(bounded_printf_(text_)),
(text_, value1_) AS system.main.printf(bounded_printf_(text_), value1_),
(text_, value1_, value2_) AS system.main.printf(bounded_printf_(text_), value1_, value2_),
(text_, value1_, value2_, value3_) AS system.main.printf(bounded_printf_(text_), value1_, value2_, value3_),
(text_, value1_, value2_, value3_, value4_) AS system.main.printf(bounded_printf_(text_), value1_, value2_, value3_, value4_),
(text_, value1_, value2_, value3_, value4_, value5_) AS system.main.printf(bounded_printf_(text_), value1_, value2_, value3_, value4_, value5_),
(text_, value1_, value2_, value3_, value4_, value5_, value6_) AS system.main.printf(bounded_printf_(text_), value1_, value2_, value3_, value4_, value5_, value6_),
(text_, value1_, value2_, value3_, value4_, value5_, value6_, value7_) AS system.main.printf(bounded_printf_(text_), value1_, value2_, value3_, value4_, value5_, value6_, value7_),
(text_, value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_) AS system.main.printf(bounded_printf_(text_), value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_),
(text_, value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_, value9_) AS system.main.printf(bounded_printf_(text_), value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_, value9_),
(text_, value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_, value9_, value10_) AS system.main.printf(bounded_printf_(text_), value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_, value9_, value10_),
(text_, value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_, value9_, value10_, value11_) AS system.main.printf(bounded_printf_(text_), value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_, value9_, value10_, value11_),
(text_, value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_, value9_, value10_, value11_, value12_) AS system.main.printf(bounded_printf_(text_), value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_, value9_, value10_, value11_, value12_),
(text_, value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_, value9_, value10_, value11_, value12_, value13_) AS system.main.printf(bounded_printf_(text_), value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_, value9_, value10_, value11_, value12_, value13_),
(text_, value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_, value9_, value10_, value11_, value12_, value13_, value14_) AS system.main.printf(bounded_printf_(text_), value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_, value9_, value10_, value11_, value12_, value13_, value14_),
(text_, value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_, value9_, value10_, value11_, value12_, value13_, value14_, value15_) AS system.main.printf(bounded_printf_(text_), value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_, value9_, value10_, value11_, value12_, value13_, value14_, value15_),
(text_, value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_, value9_, value10_, value11_, value12_, value13_, value14_, value15_, value16_) AS system.main.printf(bounded_printf_(text_), value1_, value2_, value3_, value4_, value5_, value6_, value7_, value8_, value9_, value10_, value11_, value12_, value13_, value14_, value15_, value16_);
