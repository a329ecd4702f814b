"""What is known of the heads of a collection without reading them: the index, and pages of it.

A head is the one document that a listing shows of a session or journal. Nothing here knows how a
head is made or saved, and nothing here deletes. Internal.
"""
