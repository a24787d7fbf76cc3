"""HL7 v2.5.1: a feed of messages in the order of events, and master files of what belongs to no patient."""
