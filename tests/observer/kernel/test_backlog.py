import threading

from observer.kernel.backlog import Backlog


def test_what_waits_is_bound_by_bytes() -> None:
    backlog = Backlog(most_bytes=10)
    assert all(backlog.offer(b"x") for _ in range(10))
    assert not backlog.offer(b"y")
    assert backlog.take() == b"x"
    assert backlog.offer(b"y")


def test_a_frame_larger_than_all_room_waits_alone() -> None:
    backlog = Backlog(most_bytes=10)
    assert backlog.offer(bytes(100))
    assert not backlog.offer(b"x")
    assert backlog.take() == bytes(100)
    assert backlog.offer(b"x")


def test_put_waits_for_room_and_all_comes_in_order() -> None:
    backlog = Backlog(most_bytes=3)
    frames = [bytes([number]) for number in range(200)]

    def give() -> None:
        for frame in frames:
            backlog.put(frame)
        backlog.close()

    giver = threading.Thread(target=give)
    giver.start()
    found = []
    while (frame := backlog.take()) is not None:
        found.append(frame)
    giver.join()
    assert found == frames
    assert backlog.take() is None
