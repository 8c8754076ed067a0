"""ClickHouse's HTTP interface over chDB, as a process of its own: the dev stack's and the tests' ClickHouse."""
