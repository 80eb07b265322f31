"""Where history goes beside the bus: what is written, how, and how nothing is lost on the way.

    topics ─► points ─► encode ─► drain ─► influxdb

`schema` says which measurements there are; `points` makes rows of records; `encode` turns rows into
lines; `drain` reads the bus, writes and commits; `influxdb` is the server. The same records give
the same lines, so a line that is written twice overwrites itself: effectively once.
"""
