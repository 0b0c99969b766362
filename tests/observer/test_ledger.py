from observer.ledger import Ledger, Stage


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
