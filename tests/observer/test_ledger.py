from observer.ledger import Ledger, Loss, Stage


def test_counts_add_up_by_stage_and_reason() -> None:
    ledger = Ledger()
    ledger.count(Stage.READER, "overtaken", 5)
    ledger.count(Stage.DECODE, "b", 2)
    ledger.count(Stage.DECODE, "a", 1)
    ledger.count(Stage.DECODE, "b", 3)
    ledger.count(Stage.RING, "none", 0)
    assert ledger.total(Stage.DECODE) == 6
    assert ledger.total(Stage.RING) == 0
    assert ledger.snapshot() == (
        (Stage.DECODE, "a", 1),
        (Stage.DECODE, "b", 5),
        (Stage.READER, "overtaken", 5),
    )


def test_a_loss_tells_when_it_was_counted_first_and_last() -> None:
    now_ns = [7]
    ledger = Ledger(lambda: now_ns[0])
    ledger.count(Stage.READER, "overtaken", 5)
    now_ns[0] = 9
    ledger.count(Stage.READER, "overtaken", 1)
    ledger.count(Stage.RING, "full", 2)
    assert ledger.losses() == (
        Loss(stage=Stage.RING, reason="full", count=2, first_ns=9, last_ns=9),
        Loss(stage=Stage.READER, reason="overtaken", count=6, first_ns=7, last_ns=9),
    )
