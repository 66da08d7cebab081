"""The rehearsal: a migration's statements run on a shadow of the database, which has its schema and no rows.

`rehearsal.Shadow` runs them, `facts.Facts` is what was seen, `judging.facts` says what follows.
"""
