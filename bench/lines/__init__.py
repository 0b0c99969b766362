"""The lines of the bench, one file each: how a budget of the design is measured.

A line is a function from `Conditions` to measurements; it raises WrongAnswerError when what came
back was wrong and NotMeasurableError when it cannot be measured here. `bench.app` lists them.
"""
