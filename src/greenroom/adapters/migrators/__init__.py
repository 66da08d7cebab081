"""Whose migrations a release brings along: plain files of SQL, or those of people's own tools."""
