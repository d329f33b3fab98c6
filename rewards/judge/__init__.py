"""Language models as judges: what they are asked, what they answer, and backends that ask them."""
