"""HL7 version 2 files of any maker, read into the clinical schema."""
