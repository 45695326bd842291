"""Says what is to become of transactions that nobody ended."""

import sys

import cairnlog
from cairnlog import TransactionAnswer, TransactionCheck

paid = {"order-7"}
directory = sys.argv[1]

with cairnlog.Store.open(
    directory, segment_size_bytes="1M", transaction_timeout_ms=100
) as store:
    order = cairnlog.Message("orders", b"20 pears", properties={"UNIQ_KEY": "order-7"})
    store.begin_transaction(order)

    def check(asked: TransactionCheck) -> TransactionAnswer:
        return TransactionAnswer.COMMIT if asked.id in paid else TransactionAnswer.UNKNOWN

    store.set_transaction_checker(check)
    with store.tail("orders") as tail:
        print("committed:", bytes(next(tail).body).decode())

# Output:
# committed: 20 pears
