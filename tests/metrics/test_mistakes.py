"""The mistakes that a report shows first."""

import numpy as np

from core.metrics.mistakes import confident_mistakes


def test_confident_mistakes_are_the_surest_wrong_ones():
    labels = np.array([[1, 0], [1, 0], [0, 0], [0, 1], [0, 0]], dtype=bool)
    probabilities = np.array([[0.4, 0.1], [0.1, 0.9], [0.2, 0.7], [0.1, 0.8], [0.1, 0.1]])
    found = (labels, probabilities, probabilities >= 0.5)
    assert confident_mistakes(found, True) == [1, 0]
    assert confident_mistakes(found, False) == [1, 2]
    assert confident_mistakes(found, False, 1) == [1]


def test_the_decision_says_what_is_wrong():
    labels, probabilities = np.array([[True], [False]]), np.array([[0.4], [0.4]])
    assert confident_mistakes((labels, probabilities, probabilities >= 0.3), True) == []
    assert confident_mistakes((labels, probabilities, probabilities >= 0.3), False) == [1]
    # A defect that is certain to a threshold above 1 is missed all the same.
    assert confident_mistakes((labels, np.ones((2, 1)), np.zeros((2, 1), bool)), True) == [0]
