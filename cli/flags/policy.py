"""The flags of `hubble policy`: a packet that nobody has sent, or one that was dropped."""

from cli.flags.table import Flag, FlagSet

PACKET = FlagSet(
    title="Packet",
    flags=(
        Flag(
            name="from-pod",
            kind="string",
            help="Pod that sends it: [namespace/]name, or how its name begins",
        ),
        Flag(name="from-ip", kind="string", help="Address that sends it, in place of a pod"),
        Flag(name="to-pod", kind="string", help="Pod that it is for"),
        Flag(name="to-ip", kind="string", help="Address that it is for, in place of a pod"),
        Flag(
            name="port",
            kind="string",
            help="Destination port and protocol: 80, 80/TCP, 53/UDP, 3868/SCTP;\n"
            "of ICMP and ICMPv6 the type: 8/ICMP, 128/ICMPv6",
        ),
    ),
)

DROPPED = FlagSet(
    title="Flow",
    flags=(
        Flag(
            name="pod",
            kind="string",
            help="Explain the last drop of this pod, sent or received: [namespace/]name",
        ),
        Flag(name="uuid", kind="string", help="Explain the flow with this uuid"),
    ),
)
