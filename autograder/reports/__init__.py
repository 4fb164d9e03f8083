"""What people read after grading: a page for each student, a page for the class.

    safe       makes text, Markdown, HTML and pictures of others safe to show
    outputs    the outputs of a cell, as HTML
    gather     what the gradebook and the graded notebooks say, as plain data
    feedback   a student's page; `FeedbackExporter` for nbgrader
    items      what a class's verdicts say of each check and each behavior
    charts     pictures of numbers, as SVG
    classpage  the class's page
    report     the command `elbolab report`
"""
