"""Online learners of many objects at once, pure numpy; the table of banks is `BANKS`."""
