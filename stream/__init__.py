"""The log and what runs on it: records, codec, the bus, operators, the loop."""
