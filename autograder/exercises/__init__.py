"""What an exercise is, and what all exercises share: laws, naming of mistakes, replay, the general probe."""
