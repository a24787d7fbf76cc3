"""C-CDA documents of any maker: header, sections by template or LOINC code, entries."""
