"""`hubble-server check`: could a server be started here, and what would it lack?

In: the flags and the environment of a server. Out: a list of findings with remedies, as text or
JSON; 1 if one of them is a blocker. Asks everything, also after a blocker, and changes nothing. For
a replay only the addresses matter.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Final

from api.process.configure import resolve_flags
from api.process.flags import setting_parser
from observer.kernel.errors import KernelError
from server.checks import company, kernel, mounts, network, privileges, serving, tls, toolchain
from server.checks.finding import Finding, Probe, State, warning
from server.checks.trial import trial
from server.contradictions import refuse_contradictions
from server.observed import observes
from server.settings import SCHEMA, Settings

SERVING: Final[tuple[Probe, ...]] = (serving.tcp_address, serving.unix_socket, tls.tls_files)
PROBES: Final[tuple[Probe, ...]] = (
    privileges.root,
    privileges.capabilities,
    privileges.locked_memory,
    kernel.version,
    kernel.bpf,
    kernel.lpm_batches,
    kernel.spin_lock,
    kernel.redirect_peer,
    kernel.tcx,
    kernel.perf_rings,
    kernel.jit,
    toolchain.bcc,
    toolchain.headers,
    mounts.bpffs,
    mounts.cgroups,
    mounts.tracefs,
    network.ipv6,
    network.forwarding,
    network.reverse_path,
    network.mtu,
    *SERVING,
    company.cilium,
    company.earlier_server,
    trial,
)
"""In the order of the list: causes before what follows from them."""
FORWARDING: Final[tuple[Probe, ...]] = (
    kernel.redirect_peer,
    network.forwarding,
    network.reverse_path,
    network.mtu,
)
"""Of these, what does not matter to a server that only observes."""


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the findings; 1 if there is a blocker. Raises SettingError if a setting is wrong."""
    parser = setting_parser(
        SCHEMA,
        "hubble-server check",
        usage="hubble-server check [-o text|json] [flags]",
        description="Say whether hubble-server could be started here with these flags, and what to "
        "do about what is missing. Changes nothing. Exits with 1 if something is in the way.",
    )
    parser.add_argument(
        "-o", dest="output", choices=("text", "json"), default="text", help="form of the list"
    )
    flags = vars(parser.parse_args(argv))
    output = flags.pop("output")
    settings = resolve_flags(SCHEMA, flags, environ).settings
    refuse_contradictions(settings)
    findings = look(_probes(settings), settings)
    write = in_json if output == "json" else in_text
    print(write(findings))
    return int(any(finding.state is State.BLOCKER for finding in findings))


def _probes(settings: Settings) -> tuple[Probe, ...]:
    if settings.replay is not None:
        return SERVING
    if observes(settings):
        return tuple(probe for probe in PROBES if probe not in FORWARDING)
    return PROBES


def look(probes: Sequence[Probe], settings: Settings) -> list[Finding]:
    """Ask all of them; a question that cannot be asked is a warning."""
    findings = []
    for probe in probes:
        try:
            findings.append(probe(settings))
        except (OSError, KernelError) as error:
            name = probe.__name__.replace("_", " ")
            findings.append(warning(name, f"cannot be told: {error}", "run as root"))
    return findings


def in_text(findings: Sequence[Finding]) -> str:
    """Write an aligned list, remedies below what they are for, and a last line with the counts."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.state:<9}{finding.name:<{width}}  {finding.found}")
        if finding.remedy:
            lines.append(f"{'':<{9 + width}}  -> {finding.remedy}")
    counts = _counts(findings)
    lines.append(", ".join(f"{count} {state}" for state, count in counts.items()))
    return "\n".join(lines)


def in_json(findings: Sequence[Finding]) -> str:
    """Write one object: the findings and the counts by state."""
    content = {"findings": [asdict(finding) for finding in findings], "counts": _counts(findings)}
    return json.dumps(content, indent=2)


def _counts(findings: Sequence[Finding]) -> dict[str, int]:
    return {state.value: sum(each.state is state for each in findings) for state in State}
