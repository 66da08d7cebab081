"""The static front end: versions in a folder or a bucket, and one pointer that says which of them is served."""
