"""The places that messages go to, one file each; the table is `CHANNELS`."""
