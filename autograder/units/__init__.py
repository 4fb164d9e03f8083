"""The exercises, a folder a unit and a module an exercise. How to add one: README.md beside this file."""
