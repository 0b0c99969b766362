from bench.soaking.load import Load, Round


def went(load: Load, lost_share: float) -> None:
    """A round of 1,000 events went like that."""
    load.took(
        Round(
            is_overload=load.next_is_overload,
            per_second=1.0,
            written=1_000,
            lost=int(1_000 * lost_share),
        )
    )


def test_every_fourth_round_is_far_too_much() -> None:
    load = Load(200_000)
    found = []
    for _ in range(8):
        found.append(load.next_per_second)
        went(load, 0.001)
    steady, overload = 200_000, 2_400_000
    assert found == [steady, steady, steady, overload] * 2
    assert [each.is_overload for each in load.rounds] == [False, False, False, True] * 2


def test_the_steady_rate_gives_way_to_losses_and_comes_back() -> None:
    load = Load(200_000)
    went(load, 0.5)
    went(load, 0.5)
    assert load.steady_per_second == 98_000
    went(load, 0.001)
    assert load.steady_per_second == 107_800
    went(load, 0.9)  # the overload says nothing of what the machine takes
    assert load.steady_per_second == 107_800
    for _ in range(40):
        went(load, 0.0)
    assert load.steady_per_second == 200_000
