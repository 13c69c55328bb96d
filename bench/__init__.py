"""How fast the gateway is, measured beside what a thin service of the same work would cost; `make bench` runs it."""
