import numpy as np

from observer.entities import Endpoint
from observer.table.interns import InternTable
from observer.table.label_sets import LabelSets


def endpoint(number: int, *labels: str) -> Endpoint:
    return Endpoint(
        endpoint_id=number,
        identity=1_000 + number,
        cluster_name="default",
        namespace="default",
        labels=labels,
        pod_name=f"pod-{number}",
        workloads=(),
    )


def labels_of(label_sets: LabelSets, ref: int) -> tuple[str, ...]:
    return label_sets.sets[int(label_sets.by_endpoint()[ref])]


def test_endpoints_with_the_same_labels_have_one_set() -> None:
    endpoints: InternTable[Endpoint] = InternTable()
    label_sets = LabelSets(endpoints)
    refs = [endpoints.ref(endpoint(n, f"k8s:app={n % 3}", "k8s:b")) for n in range(200)]
    numbers = label_sets.by_endpoint()
    assert len(label_sets.sets) == 3
    assert numbers[0] == 0
    for number, ref in enumerate(refs):
        assert label_sets.sets[int(numbers[ref])] == (f"k8s:app={number % 3}", "k8s:b")


def test_endpoints_that_come_later_are_numbered_too() -> None:
    endpoints: InternTable[Endpoint] = InternTable()
    first = endpoints.ref(endpoint(1, "k8s:a"))
    label_sets = LabelSets(endpoints)
    assert labels_of(label_sets, first) == ("k8s:a",)
    second = endpoints.ref(endpoint(2))
    assert labels_of(label_sets, second) == ()
    assert labels_of(label_sets, first) == ("k8s:a",)


def test_a_set_goes_with_its_last_endpoint_and_a_ref_given_again_has_the_new_set() -> None:
    endpoints: InternTable[Endpoint] = InternTable()
    label_sets = LabelSets(endpoints)
    gone, stays = (endpoints.ref(endpoint(n, "k8s:a")) for n in range(2))
    other = endpoints.ref(endpoint(3, "k8s:b"))
    held = np.array([gone, stays, other], np.int32)
    endpoints.retain(held)
    label_sets.by_endpoint()
    endpoints.release(held[::2])
    assert dict(label_sets.sets.items()) == {label_sets.by_endpoint()[stays]: ("k8s:a",)}
    assert label_sets.by_endpoint()[other] == 0
    again = endpoints.ref(endpoint(4, "k8s:c"))
    assert again in (gone, other)
    assert labels_of(label_sets, again) == ("k8s:c",)


def test_endpoints_that_were_never_asked_for_may_go() -> None:
    endpoints: InternTable[Endpoint] = InternTable()
    label_sets = LabelSets(endpoints)
    refs = np.array([endpoints.ref(endpoint(n, "k8s:a")) for n in range(100)], np.int32)
    endpoints.retain(refs)
    endpoints.release(refs)
    assert len(label_sets.sets) == 0
    assert not label_sets.by_endpoint().any()
