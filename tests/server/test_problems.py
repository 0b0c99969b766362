from server.problems import Problem, Problems


def test_a_problem_lasts_from_when_it_is_met_until_a_round_without_it() -> None:
    now_ns = [5]
    problems = Problems(lambda: now_ns[0])
    problems.meet("Pod a/b", "no address")
    assert problems.listed() == ()  # the round is not over
    problems.end_round()
    now_ns[0] = 9
    problems.meet("Pod a/b", "no interface")
    problems.meet("Pod a/b", "no room")
    problems.meet("cluster", "too many")
    problems.end_round()
    assert problems.listed() == (
        Problem(about="Pod a/b", reason="no interface", since_ns=5),
        Problem(about="cluster", reason="too many", since_ns=9),
    )
    assert problems.present == ("Pod a/b: no interface", "cluster: too many")
    problems.end_round()
    now_ns[0] = 11
    problems.meet("cluster", "too many")
    problems.end_round()
    assert problems.listed() == (Problem(about="cluster", reason="too many", since_ns=11),)
