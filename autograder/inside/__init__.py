"""The sandbox's side of grading: how cells run and how probes call what they defined.

    warm      the process that has imported everything once and forks a child for each submission
    rehearsal what it imports, and does once
    isolate   namespaces and limits of such a child
    shell     runs cells in IPython and reports their outputs
    serve     the child's side of the conversation with the grader
    silent    `check`, `hint` and `progress` while grading

Beside this a sandbox holds the probes and what both sides share: `channel` and `border` (how they talk), `probing` and
`timing` (the guard in which student code runs). They import nothing from here. No reference answer, no judge and no
advice is imported from here, either: a sandbox does not hold them.
"""
