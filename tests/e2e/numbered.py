"""UDP packets with numbers, and who counts them: run in pods by test_restarts.

    numbered.py send ADDRESS PORT RATE MARK    numbered packets until SIGTERM; counts the echoes
    numbered.py receive PORT                   echoes and remembers each number until SIGTERM

At the end each prints what it saw as JSON. Only the standard library: it runs as a pod's program.
"""

import json
import signal
import socket
import struct
import sys
import threading
import time
from collections import defaultdict

PACKET = struct.Struct("=4sI")
BUFFER_BYTES = 1 << 26
SO_RCVBUFFORCE = 33
BURST_S = 0.001
QUIET_S = 1.0


def main() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    words = sys.argv[2:]
    if sys.argv[1] == "send":
        found = send(words[0], int(words[1]), int(words[2]), words[3].encode(), stop)
    else:
        found = receive(int(words[0]), stop)
    print(json.dumps(found), flush=True)


def opened() -> socket.socket:
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    return found


def send(address: str, port: int, rate: int, mark: bytes, stop: threading.Event) -> dict[str, int]:
    with opened() as sender:
        sender.connect((address, port))
        echoed: set[int] = set()
        listener = threading.Thread(target=listen, args=(sender, echoed))
        listener.start()
        begun_s, sent = time.monotonic(), 0
        while not stop.wait(BURST_S):
            due = int((time.monotonic() - begun_s) * rate)
            while sent < due:
                sender.send(PACKET.pack(mark, sent))
                sent += 1
        elapsed_s = time.monotonic() - begun_s
        listener.join()
    return {"sent": sent, "echoed": len(echoed), "rate": round(sent / elapsed_s)}


def listen(sender: socket.socket, echoed: set[int]) -> None:
    """Collect echoes until there are none for a while."""
    sender.settimeout(2 * QUIET_S)
    while True:
        try:
            echoed.add(PACKET.unpack(sender.recv(64))[1])
        except ConnectionRefusedError:
            continue
        except TimeoutError:
            return


def receive(port: int, stop: threading.Event) -> dict[str, int]:
    seen: dict[str, set[int]] = defaultdict(set)
    with opened() as receiver:
        receiver.bind(("0.0.0.0", port))
        print("listening", flush=True)
        receiver.settimeout(QUIET_S / 10)
        while True:
            try:
                data, peer = receiver.recvfrom(64)
            except TimeoutError:
                if stop.is_set():
                    break
                continue
            mark, number = PACKET.unpack(data)
            seen[mark.decode()].add(number)
            receiver.sendto(data, peer)
    return {mark: len(numbers) for mark, numbers in seen.items()}


if __name__ == "__main__":
    main()
