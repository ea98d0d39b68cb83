"""A user study to run in class.

It plans what each participant sees, stores votes safely, asks questions on a notebook page, and
analyzes the votes.
"""
