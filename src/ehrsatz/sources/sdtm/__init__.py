"""Readers of SDTM: the domains of a study, of any maker, with their supplemental qualifiers merged back."""
