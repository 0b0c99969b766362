from bench.churn import CAPACITY, Churn
from bench.workload import ENDPOINTS


def test_what_is_kept_of_pods_is_what_the_table_shows() -> None:
    churn = Churn()
    churn.let_pass(3 * ENDPOINTS)
    interns, sets = churn.table.interns, churn.table.label_sets.sets
    # what is kept by number is as long as numbers were ever given out
    endpoint_numbers, set_numbers = interns.endpoints.size, sets.size

    churn.let_pass(17 * ENDPOINTS)

    assert interns.endpoints.size <= endpoint_numbers + ENDPOINTS // 2
    assert sets.size <= set_numbers + ENDPOINTS // 2
    names = [endpoint.pod_name for _, endpoint in interns.endpoints.items()]
    ages = [20 * ENDPOINTS - int(name.removeprefix("pod-")) for name in names if name]
    assert len(ages) >= ENDPOINTS
    assert max(ages) <= 2 * ENDPOINTS  # 4,095 rows are the last batch of 4,096 but for one
    assert churn.table.head - churn.table.oldest == CAPACITY
