"""Network policies: parsed, compiled to one intermediate form, evaluated.

Policy objects come in as Kubernetes wrote them. Out go map entries for the datapath and an
evaluator that decides in Python what the datapath decides in the kernel, from the same form. No
I/O and no kernel here: `server` reads the objects and fills the maps.
"""
