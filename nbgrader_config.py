"""nbgrader's settings for this course: every `nbgrader ...` command that runs in this folder reads them."""

import os
import sys
import warnings

# nbgrader calls the program `alembic` for a new gradebook; this finds it where the environment is not activated.
programs = os.path.dirname(sys.executable)
if programs not in os.environ.get("PATH", "").split(os.pathsep):
    os.environ["PATH"] = os.pathsep.join([programs, os.environ.get("PATH", "")])

# nbgrader's own queries make sqlalchemy warn on every submission; nothing is wrong.
warnings.filterwarnings("ignore", message="Object of type <Submitted", module="nbgrader")

c = get_config()  # noqa: F821  (nbgrader puts it there)

c.CourseDirectory.course_id = "elbolab"
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "assignments"

# The student version. assignments/ is in the repository, so that generating it always means writing it anew.
c.GenerateAssignment.force = True
c.ClearSolutions.code_stub = {"python": "# YOUR CODE HERE\nraise NotImplementedError"}
c.ClearSolutions.text_stub = "*Your answer here.*"
c.ClearMarkScheme.enforce_metadata = False  # ours stand in the locked question cells, not in nbgrader's task cells

# Grading: autograder/nbgrader_ext.py says what each of these is. Points are decided outside the kernel that runs the submission.
c.Autograde.exporter_class = "autograder.nbgrader_ext.SubmissionExporter"
c.Autograde.sanitize_preprocessors = ["autograder.nbgrader_ext.TakeIn"]
c.Autograde.autograde_preprocessors = [
    "autograder.nbgrader_ext.ExecuteSubmission",
    "autograder.nbgrader_ext.SaveGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
]
# Feedback goes to students: a page of ours, without the instructor's cells, the seed or notes for the teacher.
c.GenerateFeedback.exporter_class = "autograder.reports.feedback.FeedbackExporter"
c.GenerateFeedback.preprocessors = []

# Seconds for one cell, when grading and when a student presses Validate; both run the short training budgets.
c.ExecuteSubmission.timeout = 120
c.Execute.timeout = 120
c.Execute.extra_arguments = [
    "--IPKernelApp.exec_lines=import os; os.environ['ELBOLAB_FAST'] = '1'",
    "--IPKernelApp.log_level=ERROR",  # the kernel listens on this machine only, and would warn about it every time
]
