"""The load generator of the check `load`: a process of its own, over the standard library alone.

`python -m greenroom.adapters.load FOLDER` reads `plan.json` there, keeps `progress.json` up to date and leaves
`report.json`. Whoever wants it ended ends the process.
"""
