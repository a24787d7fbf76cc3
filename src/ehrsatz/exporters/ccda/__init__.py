"""C-CDA R2.1: one Continuity of Care Document per patient, made of text that is joined column by column."""
