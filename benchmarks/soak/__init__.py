"""The whole product under mixed load for half an hour, with faults, and whether every promise was kept.

    python -m benchmarks.soak [--minutes 30] [--rate 1.0] [--seed 1] [--drain 5] [--json] [--write-docs]

PostgreSQL (durable), Temporal (database file), ClickHouse, the provider sandbox, one worker and one web process are
processes of their own; this one is the application, the receivers of the webhooks, and the operator. Single messages,
a batch each minute, webhooks to eight endpoints of which three are in trouble, forms with partial submissions, and
analytics events come over HTTP and through the client, while the providers misbehave for short whiles. In the end
everything that was accepted is compared with what the providers, the receivers and ClickHouse have got.
"""
