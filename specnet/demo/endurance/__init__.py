"""A field test in fast motion: the node's real processes, with everything breaking that breaks in a year."""

from specnet.demo.endurance.books import Books, Findings
from specnet.demo.endurance.course import Course, Endurance, run_course

__all__ = ["Books", "Course", "Endurance", "Findings", "run_course"]
