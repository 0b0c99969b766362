"""What the lab reports to its user, as one tree.

    LabError
    ├── ObjectError     a Kubernetes object in YAML does not say what the lab needs
    ├── NetworkError    the kernel or `ip` refused a step
    ├── RunError        a run is busy, unknown or named badly
    └── ProcessError    a program of the lab ended early or never became ready

Every message names what was attempted and ends with the value that stood in the way, so that
`hubble-lab` prints it as it is and exits with 1.
"""


class LabError(Exception):
    """Anything the user of the lab can understand and act on."""


class ObjectError(LabError):
    """An object in a YAML file is missing, malformed or contradicts another."""


class NetworkError(LabError):
    """A namespace, interface, route or kernel setting could not be made."""


class RunError(LabError):
    """The run asked for does not exist, is in use, or has a name that cannot be used."""


class ProcessError(LabError):
    """A program that the lab started ended too early or did not get ready in time."""
