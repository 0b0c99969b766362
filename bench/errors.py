"""What can go wrong in a bench.

WrongAnswerError    what was measured was wrong (count, order, content): the run exits 1
NotMeasurableError     this line cannot be measured here: the table says why, the run goes on
"""


class WrongAnswerError(Exception):
    """The thing under test gave a wrong answer, so its speed means nothing."""


class NotMeasurableError(Exception):
    """A line needs what is not here: root, a program by path, a part that is not built."""
