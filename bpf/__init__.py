"""The datapath: C programs, their headers, and the stub headers they compile against.

`include/events.h` is the layout of everything the programs send to user space; `observer.decode`
holds its Python twin. This package only says where the sources lie: `observer.kernel` compiles,
loads and attaches them.
"""
