"""The log and what runs on it: records, codec, the bus and its transactions, operators, the loop."""
