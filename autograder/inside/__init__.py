"""All of the autograder that a sandbox shows to student code: how cells run and how probes call what they defined.

    warm      the process that has imported everything once and forks a child for each submission
    rehearsal what it imports, and does once
    isolate   namespaces and limits of such a child
    shell     runs cells in IPython and reports their outputs
    serve     the child's side of the conversation with the grader
    silent    `check`, `hint` and `progress` while grading

No reference answer, no judge and no advice is imported from here: a sandbox does not hold them.
"""
